//! The process of a bridge.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::bridge::project_root;

/// The beginning of what a process said, as it grows.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<String>>);

impl Log {
    /// How much is kept, in bytes.
    const KEPT: usize = 1 << 20;

    fn add(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() < Self::KEPT {
            text.push_str(line);
            text.push('\n');
        }
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines have every one of these words.
    pub fn count(&self, words: &[&str]) -> usize {
        let text = self.text();
        let lines = text.lines();
        lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }
}

/// Runs `command`, which serves a bridge on `port`, until this process ends; gives its URL and process id once it
/// answers.
pub fn launch(mut command: Command, port: u16, log: &Log) -> (String, u32) {
    command.current_dir(project_root());
    let ((started, start), (ended, end)) = (mpsc::channel(), mpsc::channel());
    let kept = log.clone();
    // The parent-death signal comes when the THREAD that started the child ends: this one lasts as long as the
    // process, which a test's thread does not.
    std::thread::spawn(move || {
        keep(command, &started, &kept);
        ended.send(())
    });
    let deadline = Instant::now() + Duration::from_secs(600);
    while !answers(port) {
        if end.recv_timeout(Duration::from_millis(100)).is_ok() {
            panic!("the bridge did not start:\n{}", log.text());
        }
        assert!(
            Instant::now() < deadline,
            "the bridge did not start within 10 minutes"
        );
    }
    let pid = start.recv().expect("what answers was started");
    (format!("http://localhost:{port}"), pid)
}

/// Whether something speaks HTTP on a port of this machine.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("localhost", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1"))
}

/// Runs a bridge to its end, and tells its process id.
fn keep(mut command: Command, started: &mpsc::Sender<u32>, log: &Log) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            Ok(())
        });
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return log.add(&format!("{command:?}: {e}")),
    };
    let _ = started.send(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| stderr.map(|errors| collect(errors, log)));
        stdout.map(|output| collect(output, log))
    });
    let _ = child.wait();
}

/// Reads to the end. `SANDBAR_TEST_LOG` shows all of it.
fn collect(output: impl Read, log: &Log) {
    let show = env::var_os("SANDBAR_TEST_LOG").is_some();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if show {
            eprintln!("{line}");
        }
        log.add(&line);
    }
}
