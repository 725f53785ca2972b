//! A process as its clients see it: every command is one.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use sandbox_protocol::event::Exit;
use sandbox_protocol::process::{self, ProcessId, ProcessState};
use sandbox_protocol::time::to_text;
use sandbox_protocol::{ErrorBody, Event, SessionId};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};

use super::event_log::EventLog;
use super::restart::Restart;
use super::stdin::Stdin;
use crate::process::tree::Tree;

/// The bytes of its arguments that a process is shown with.
const MAX_ARGV_BYTES: usize = 8 * 1024;

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pub id: ProcessId,
    /// Its number: older processes have smaller ones.
    pub number: u64,
    /// The fingerprint of the request that started it, if that named the id.
    pub fingerprint: Option<u64>,
    /// The session that it was started in.
    pub session: Option<SessionId>,
    /// Its events.
    pub log: Arc<EventLog>,
    /// Its standard input.
    pub stdin: Stdin,
    argv: Vec<String>,
    started: SystemTime,
    /// Set when its program is started.
    launched: OnceLock<Launched>,
    controls: mpsc::UnboundedSender<Control>,
    ending: watch::Sender<bool>,
    /// Whether it has a task that takes controls.
    supervised: watch::Sender<Supervision>,
    tree: Mutex<Option<Tree>>,
    report: Mutex<Option<Report>>,
    restart: OnceLock<Restart>,
}

/// Makes the event that comes before the last one of a log, from the end of the process.
pub struct Report(Box<MakeEvent>);

type MakeEvent = dyn FnOnce(&Result<Exit, ErrorBody>) -> Event + Send;

impl Report {
    /// The report that `make` makes.
    pub fn new(make: impl FnOnce(&Result<Exit, ErrorBody>) -> Event + Send + 'static) -> Self {
        Self(Box::new(make))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Report").finish_non_exhaustive()
    }
}

/// The facts of a program that was started.
#[derive(Debug)]
struct Launched {
    pid: Option<u32>,
    cwd: String,
}

/// Whether a task takes controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Supervision {
    /// Not yet.
    Pending,
    /// It does.
    Running,
    /// Not any more: the tree has ended as far as the process's end asks for it.
    Ended,
}

/// A request to the task of a process.
#[derive(Debug)]
pub enum Control {
    /// Sends a signal to the whole tree, then answers.
    Signal(Signal, oneshot::Sender<()>),
    /// Ends the tree: SIGTERM, and SIGKILL after this grace.
    End(Duration),
}

/// The receiving side of a process's task.
#[derive(Debug)]
pub struct Controls {
    /// The requests.
    pub requests: mpsc::UnboundedReceiver<Control>,
    /// Whether the process is to end. A task that has not started it then does not.
    pub ending: watch::Receiver<bool>,
}

impl Process {
    /// A process that was not started yet.
    pub fn new(
        id: ProcessId,
        number: u64,
        fingerprint: Option<u64>,
        argv: &[String],
        session: Option<SessionId>,
        log: EventLog,
    ) -> (Self, Controls) {
        let (controls, requests) = mpsc::unbounded_channel();
        let ending = watch::Sender::new(false);
        let receiver = Controls {
            requests,
            ending: ending.subscribe(),
        };
        let process = Self {
            id,
            number,
            fingerprint,
            session,
            log: Arc::new(log),
            stdin: Stdin::default(),
            argv: abbreviated(argv),
            started: SystemTime::now(),
            launched: OnceLock::new(),
            controls,
            ending,
            supervised: watch::Sender::new(Supervision::Pending),
            tree: Mutex::new(None),
            report: Mutex::new(None),
            restart: OnceLock::new(),
        };
        (process, receiver)
    }

    /// Lets `report` make the event before the last one.
    pub fn set_report(&self, report: Report) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    /// Lets it be started again by this request.
    pub fn set_restart(&self, restart: Restart) {
        // Only the first one counts.
        let _ = self.restart.set(restart);
    }

    /// The request that starts it again, if it is to be.
    pub fn restart(&self) -> Option<&RawValue> {
        self.restart.get().map(|restart| &*restart.request)
    }

    /// Writes its end to the log, once.
    pub fn finish(&self, result: Result<Exit, ErrorBody>) {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Report(report)) = report {
            self.log.append_event(&report(&result));
        }
        self.log.finish(result);
    }

    /// Its program was started as `pid` in `cwd`, with this tree, and its task takes controls.
    pub fn launched(&self, pid: u32, cwd: String, tree: &Tree) {
        let pid = Some(pid);
        let _ = self.launched.set(Launched { pid, cwd });
        *self.tree() = Some(tree.without_leader());
        self.supervised.send_replace(Supervision::Running);
    }

    /// It has begun without a program of its own, and its task takes controls.
    pub fn begin_without_program(&self, cwd: &str) {
        let cwd = cwd.to_owned();
        let _ = self.launched.set(Launched { pid: None, cwd });
        self.supervised.send_replace(Supervision::Running);
    }

    /// Its task has ended, or it was not started.
    pub fn end_supervision(&self) {
        self.stdin.close_now();
        self.supervised.send_replace(Supervision::Ended);
    }

    /// Resolves when its program was started, or could not be.
    pub async fn settled(&self) {
        let mut supervised = self.supervised.subscribe();
        // Cannot fail: the sender lives as long as the process.
        let _ = supervised
            .wait_for(|supervision| *supervision != Supervision::Pending)
            .await;
    }

    /// Sends `signal` to every process of its tree. One that was not started yet is not started if the
    /// signal asks it to end. Returns false when it has ended.
    pub async fn signal(&self, signal: Signal) -> bool {
        if *self.supervised.borrow() == Supervision::Pending {
            let is_end =
                [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::KILL].contains(&signal);
            if is_end {
                self.ending.send_replace(true);
                // Should it be started at this moment, its task sends the signal.
                let _ = self.controls.send(Control::Signal(signal, oneshot::channel().0));
            }
            return self.log.end().is_none();
        }
        let (done, answer) = oneshot::channel();
        // Both fail when the task has ended.
        self.controls.send(Control::Signal(signal, done)).is_ok() && answer.await.is_ok()
    }

    /// Ends its whole tree: SIGTERM, and SIGKILL after `grace`. Returns when it has ended; true if
    /// the process was running.
    pub async fn end(&self, grace: Duration) -> bool {
        let was_running = self.log.end().is_none();
        self.ending.send_replace(true);
        let _ = self.controls.send(Control::End(grace));
        let mut supervised = self.supervised.subscribe();
        let _ = supervised
            .wait_for(|supervision| *supervision == Supervision::Ended)
            .await;
        was_running
    }

    /// Its tree without its first process, which may be searched for children in the background
    /// also when the first process has been reaped. `None`: it was not started.
    pub fn tree(&self) -> std::sync::MutexGuard<'_, Option<Tree>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its arguments, abbreviated.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Its state.
    pub fn state(&self) -> ProcessState {
        match self.log.end().map(|end| end.result) {
            None => ProcessState::Running,
            Some(Ok(_)) => ProcessState::Exited,
            Some(Err(_)) => ProcessState::Failed,
        }
    }

    /// The process for a client. Its tree listens on `ports`; `workspace` is its directory until it
    /// is started.
    pub fn describe(&self, ports: Vec<u16>, workspace: &str) -> process::Process {
        let written = self.log.written();
        let end = self.log.end();
        let launched = self.launched.get();
        let (exit, error): (Option<_>, Option<ErrorBody>) = match end.as_ref().map(|end| &end.result) {
            Some(Ok(exit)) => (Some(exit.clone()), None),
            Some(Err(error)) => (None, Some(error.clone())),
            None => (None, None),
        };
        process::Process {
            id: self.id.to_string(),
            argv: self.argv.clone(),
            cwd: launched.map_or(workspace, |launched| &launched.cwd).to_owned(),
            state: self.state(),
            pid: launched.and_then(|launched| launched.pid),
            started_at: to_text(self.started),
            ended_at: end.map(|end| to_text(end.at)),
            exit,
            error,
            stdout_bytes: written.stdout,
            stderr_bytes: written.stderr,
            log_truncated: written.is_truncated,
            ports,
            session_id: self.session.as_ref().map(ToString::to_string),
        }
    }
}

/// The first [`MAX_ARGV_BYTES`] bytes of the arguments. `…` stands for what is left out.
fn abbreviated(argv: &[String]) -> Vec<String> {
    let mut left = MAX_ARGV_BYTES;
    let mut kept = Vec::new();
    for argument in argv {
        if argument.len() > left {
            let end = argument.floor_char_boundary(left);
            kept.push(format!("{}…", argument.get(..end).unwrap_or_default()));
            break;
        }
        left -= argument.len();
        kept.push(argument.clone());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_cut() {
        let short = ["a".to_owned(), "é".to_owned()];
        assert_eq!(abbreviated(&short), short);
        let long = ["a".to_owned(), "é".repeat(MAX_ARGV_BYTES), "b".to_owned()];
        let cut = abbreviated(&long);
        assert_eq!(cut.len(), 2);
        assert!(cut[1].ends_with("é…") && cut[1].len() <= MAX_ARGV_BYTES + 4);
    }
}
