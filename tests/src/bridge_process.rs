//! The process of a bridge.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::raw::health;

/// The time in which a line of the log must have come.
const BATCH_TIMEOUT: Duration = Duration::from_millis(100);

/// The beginning of a process's output, as it grows.
#[derive(Debug, Clone, Default)]
pub struct Log {
    text: Arc<Mutex<String>>,
    is_paused: Arc<AtomicBool>,
}

impl Log {
    /// The most bytes that are retained.
    const MAX_BYTES: usize = 16 << 20;

    fn add(&self, line: &str) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() < Self::MAX_BYTES {
            text.push_str(line);
            text.push('\n');
        }
    }

    /// Stops reading the output, or continues.
    pub fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Relaxed);
    }

    /// The text so far. Waits for the lines of what has been answered: a bridge writes its log in
    /// batches.
    pub fn text(&self) -> String {
        std::thread::sleep(BATCH_TIMEOUT);
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

/// Runs `command`, of [`crate::build::command`], which serves a bridge on `port`, until this
/// process ends; gives its URL and process id once it answers.
pub fn launch(command: Command, port: u16, log: &Log) -> (String, u32) {
    let ((started, start), (ended, end)) = (mpsc::channel(), mpsc::channel());
    let log_copy = log.clone();
    // The parent-death signal comes when the THREAD that started the child ends: this one lasts as
    // long as the process, which a test's thread does not.
    std::thread::spawn(move || {
        keep(command, &started, &log_copy);
        ended.send(())
    });
    let deadline = Instant::now() + Duration::from_secs(600);
    // Whatever it answers.
    while health(("localhost", port)).is_err() {
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

/// Reads to the end. `SANDBAR_TEST_LOG` shows all of it. workerd writes parts of bad requests as they
/// came, so not every line is UTF-8.
fn collect(output: impl Read, log: &Log) {
    let show = env::var_os("SANDBAR_TEST_LOG").is_some();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if show {
            eprintln!("{line}");
        }
        log.add(&line);
        while log.is_paused.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
