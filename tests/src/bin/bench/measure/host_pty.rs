//! A pty of this machine with nothing in between.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::bench::Bench;
use crate::lines::{RAW_PTY_CAT, RAW_PTY_ECHO};
use crate::series::{Miss, Series};
use crate::time::{mb_per_s, ms_since};
use crate::turns::repeated;

use super::pty::{CAT_BYTES, CAT_FILE_SCRIPT};

/// Measures both lines.
pub fn measure(bench: &mut Bench) {
    if bench.wants(&[&RAW_PTY_ECHO]) {
        let series = match Echo::start() {
            Ok(mut echo) => repeated(bench.rounds(300), || echo.key().map_err(Miss::failed)),
            Err(e) => Series::without(Miss::failed(e)),
        };
        bench.add(&RAW_PTY_ECHO, vec![series]);
    }
    if bench.wants(&[&RAW_PTY_CAT]) {
        let series = repeated(bench.rounds(7), || cat().map_err(Miss::failed));
        bench.add(&RAW_PTY_CAT, vec![series]);
    }
}

/// Our end of a new pty, and the one of a program.
fn open() -> io::Result<(File, File)> {
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&pty)?;
    unlockpt(&pty)?;
    let name = ptsname(&pty, Vec::new())?;
    let tty = File::options()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.to_bytes()))?;
    Ok((File::from(pty), tty))
}

/// `cat` on a raw pty: it writes back what it reads, as a shell's line editor does.
struct Echo {
    pty: File,
    cat: Child,
}

impl Echo {
    fn start() -> io::Result<Self> {
        let (pty, tty) = open()?;
        let mut settings = tcgetattr(&tty)?;
        settings.make_raw();
        tcsetattr(&tty, OptionalActions::Now, &settings)?;
        let cat = Command::new("cat").stdin(tty.try_clone()?).stdout(tty).spawn()?;
        Ok(Self { pty, cat })
    }

    /// Milliseconds until a key has come back.
    fn key(&mut self) -> io::Result<f64> {
        let started = Instant::now();
        self.pty.write_all(b"x")?;
        self.pty.read_exact(&mut [0])?;
        Ok(ms_since(started))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.cat.kill();
        let _ = self.cat.wait();
    }
}

/// MB/s of a program that writes as much as it can, from its start.
fn cat() -> io::Result<f64> {
    let (mut pty, tty) = open()?;
    let file = std::env::temp_dir().join(format!("sandbar-bench-cat-{}", std::process::id()));
    let made = Command::new("sh")
        .args(["-c", CAT_FILE_SCRIPT, "sh"])
        .arg(&file)
        .status()?;
    if !made.success() {
        return Err(io::Error::other("the file was not made"));
    }
    let started = Instant::now();
    let mut child = Command::new("cat")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(tty)
        .spawn()?;
    let (mut block, mut got) = (vec![0; 64 << 10], 0);
    while got < CAT_BYTES {
        got += pty.read(&mut block)?;
    }
    let took = started.elapsed();
    child.wait()?;
    std::fs::remove_file(file)?;
    Ok(mb_per_s(CAT_BYTES, took))
}
