//! slirp4netns: the way to the outside for a sandbox that has a network of its own.
//!
//! A sandbox's network namespace has a loopback device only. slirp4netns adds a device `tap0` and
//! carries its TCP and UDP by sockets of this machine, as any program of this user could open them,
//! except for sockets of the machine's loopback. Nothing outside can connect to a sandbox that way.
//!
//! It ends when this process does, however that happens: the kernel then closes the pipe of
//! `--exit-fd`. The task of [`crate::uplink`] owns it.

use std::ffi::OsStr;
use std::io::{self, PipeReader, PipeWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use command_fds::CommandFdExt as _;
use sandbox_protocol::Tail;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::bubblewrap;
use crate::launch::{child_pid, find_program, mapping, receiver};

/// The DNS server that slirp4netns has for a sandbox. It forwards to that of the machine.
pub const DNS_SERVER: &str = "10.0.2.3";

/// The descriptor to which slirp4netns writes when the device is up.
const READY_FD: i32 = 3;
/// The descriptor whose other end this process keeps open for as long as slirp4netns shall run.
const EXIT_FD: i32 = 4;
/// The timeout for the device.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The interval between two looks at the loopback device; it is up within a millisecond.
const LOOPBACK_INTERVAL: Duration = Duration::from_millis(1);
/// The time that a bubblewrap that failed has to end.
const BWRAP_TIMEOUT: Duration = Duration::from_millis(500);
/// The number of bytes from the end of its messages that are kept, to explain a failure.
const LOG_TAIL: usize = 1024;

/// The options of every slirp4netns.
const OPTIONS: [&str; 3] = ["--configure", "--disable-host-loopback", "--mtu=65520"];
/// Gives slirp4netns an almost empty file system, and root's no capabilities. It takes root here:
/// the user namespaces of bubblewrap have no user 0, which slirp4netns would become.
const SANDBOX: &str = "--enable-sandbox";
/// Withholds system calls. It takes a slirp4netns that was built with it.
const SECCOMP: &str = "--enable-seccomp";
/// The combinations to try, in this order.
const HARDENING: [&[&str]; 4] = [&[SANDBOX, SECCOMP], &[SANDBOX], &[SECCOMP], &[]];
/// The directories that a slirp4netns with [`SANDBOX`] still sees.
const VISIBLE: [&str; 2] = ["/etc", "/run"];

/// The program, with the options that work on this machine.
#[derive(Debug, Clone)]
pub struct Slirp {
    program: PathBuf,
    hardening: &'static [&'static str],
}

impl Slirp {
    /// Finds the program in `path`, a list like the variable `PATH`, and tries it on a namespace of
    /// `bwrap`. Error: the reason why sandboxes cannot have networks of their own here.
    pub async fn find(path: &OsStr, bwrap: &Path) -> Result<Self, String> {
        let program = find_program("slirp4netns", path).ok_or("slirp4netns is not installed")?;
        // Its configuration of DNS would be out of sight.
        let sees_dns = Path::new("/etc/resolv.conf")
            .canonicalize()
            .is_ok_and(|file| VISIBLE.iter().any(|directory| file.starts_with(directory)));
        let is_root = rustix::process::geteuid().is_root();
        let mut reason = String::new();
        for hardening in HARDENING {
            if hardening.contains(&SANDBOX) && !(is_root && sees_dns) {
                continue;
            }
            let slirp = Self {
                program: program.clone(),
                hardening,
            };
            match slirp.try_with(bwrap).await {
                Ok(()) => return Ok(slirp),
                Err(e) => reason = e.to_string(),
            }
        }
        Err(reason)
    }

    /// Connects the namespace of a process that does nothing else.
    async fn try_with(&self, bwrap: &Path) -> io::Result<()> {
        let (info, info_writer) = io::pipe()?;
        let mut command = Command::new(bwrap);
        command
            .args([
                "--die-with-parent",
                "--unshare-net",
                "--unshare-pid",
                "--as-pid-1",
            ])
            .args(["--ro-bind", "/", "/", "--info-fd", &READY_FD.to_string()])
            .args(["--", "sleep", "60"])
            .env_clear()
            .envs(bubblewrap::ENVIRONMENT)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .fd_mappings(vec![mapping(info_writer, READY_FD)])
            .map_err(io::Error::other)?;
        let mut command = tokio::process::Command::from(command);
        let mut process = command.kill_on_drop(true).spawn()?;
        drop(command);
        let pid = child_pid(info).await?;
        let connected = match pid {
            Some(pid) => {
                let mut running = self.start(pid).await?;
                let connected = running.until_ready().await;
                if connected.is_ok() {
                    running.kill().await;
                }
                connected
            }
            None => Err(io::Error::other("bubblewrap started no process")),
        };
        // The reason may be that bubblewrap failed: then its message explains more.
        if connected.is_err()
            && timeout(BWRAP_TIMEOUT, process.wait()).await.is_ok()
            && let Some(stderr) = process.stderr.take()
        {
            return Err(io::Error::other(tail(stderr).await));
        }
        process.kill().await?;
        connected
    }

    /// Starts one for the network namespace of the process `pid` of bubblewrap.
    ///
    /// Errors: a process could not be created, or that one has ended.
    pub async fn start(&self, pid: i32) -> io::Result<Running> {
        until_loopback_is_up(pid).await?;
        let (ready, ready_writer) = io::pipe()?;
        let (exit, exit_writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command
            .args(OPTIONS)
            .args(self.hardening)
            .args(["--ready-fd", &READY_FD.to_string()])
            .args(["--exit-fd", &EXIT_FD.to_string()])
            .args([&pid.to_string(), "tap0"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .fd_mappings(vec![mapping(ready_writer, READY_FD), mapping(exit, EXIT_FD)])
            .map_err(io::Error::other)?;
        let mut command = tokio::process::Command::from(command);
        let mut process = command.kill_on_drop(true).spawn()?;
        let log = process.stderr.take().map(|stderr| tokio::spawn(tail(stderr)));
        Ok(Running {
            process,
            ready: Some(ready),
            log,
            _exit: exit_writer,
        })
    }
}

/// A slirp4netns that was started.
#[derive(Debug)]
pub struct Running {
    process: Child,
    ready: Option<PipeReader>,
    log: Option<JoinHandle<String>>,
    _exit: PipeWriter,
}

impl Running {
    /// Waits until the device is up. Error: the messages of a slirp4netns that ended instead.
    pub async fn until_ready(&mut self) -> io::Result<()> {
        let Some(ready) = self.ready.take() else {
            return Ok(());
        };
        let mut byte = [0];
        match timeout(READY_TIMEOUT, receiver(ready)?.read(&mut byte)).await?? {
            0 => Err(self.ended().await),
            _ => Ok(()),
        }
    }

    /// Waits until it has ended, and returns how.
    pub async fn ended(&mut self) -> io::Error {
        match self.process.wait().await {
            Ok(status) => self.describe(status).await,
            Err(e) => e,
        }
    }

    /// Kills it, and waits until it has ended.
    pub async fn kill(&mut self) {
        if let Err(e) = self.process.kill().await {
            tracing::error!("slirp4netns cannot be ended: {e}");
        }
    }

    /// The end of the process, with its last messages.
    async fn describe(&mut self, status: ExitStatus) -> io::Error {
        let messages = match self.log.take() {
            Some(log) => log.await.unwrap_or_default(),
            None => String::new(),
        };
        io::Error::other(format!("slirp4netns ended ({status}): {messages}"))
    }
}

/// Waits until bubblewrap has given the loopback device of its process `pid` an address. It fails when
/// the device is up before, and slirp4netns brings it up, too. Error: the process has ended.
async fn until_loopback_is_up(pid: i32) -> io::Result<()> {
    let addresses = format!("/proc/{pid}/net/fib_trie");
    loop {
        match std::fs::read_to_string(&addresses) {
            Ok(addresses) if addresses.contains("127.0.0.1") => return Ok(()),
            Ok(_) => sleep(LOOPBACK_INTERVAL).await,
            Err(_) => return Err(io::Error::other("it ended before it was connected")),
        }
    }
}

/// The end of what slirp4netns writes, on one line.
async fn tail(mut stderr: ChildStderr) -> String {
    let mut tail = Tail::new(LOG_TAIL);
    let mut chunk = Vec::with_capacity(LOG_TAIL);
    while stderr.read_buf(&mut chunk).await.is_ok_and(|n| n > 0) {
        tail.push(&chunk);
        chunk.clear();
    }
    let text = tail.text();
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}
