//! The task that owns a command, from its start until `sandboxd` holds nothing of it any more.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use sandbox_protocol::{ErrorBody, ErrorCode};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, timeout_at};

use super::disconnect::probe_running;
use super::ending::{
    publish_exit_after, signal_tree, spawn_end, wait_abandoned, wait_deadline, wait_ended, wait_sent,
};
use super::output::Outputs;
use super::process::{Control, Controls, Process};
use super::registry::Registry;
use crate::activity::ActivityGuard;
use crate::process::spawn::Child;
use crate::process::status;
use crate::process::tree::Tree;
use crate::quota::{Permit, Quota};
use crate::session::turn::Turn;

/// The time that a command has between SIGTERM and SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// The time after the command's timeout for which the end of its tree is waited for. It takes the
/// grace, and longer only if a process cannot be interrupted, or forks as fast as it can be killed.
const TREE_END_TIMEOUT: Duration = Duration::from_millis(1700);

/// The time after the command's timeout at which unread output is dropped, so that the client gets
/// the end.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(1800);

/// The time after the command's end at which the end becomes known to others, although a client that
/// reads nothing has not read all of the output.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(1);

/// A command that runs.
#[derive(Debug)]
pub struct Task {
    /// The command itself.
    pub child: Child,
    /// The command with all processes that it starts.
    pub tree: Tree,
    /// Its outputs.
    pub outputs: Outputs,
    /// The time at which it times out.
    pub deadline: Option<Instant>,
    /// The time for which it goes on without an owner of its log; `None`: always.
    pub linger: Option<Duration>,
    /// Counts the command while it runs, if it is counted.
    pub activity: Option<ActivityGuard>,
    /// Its turn, if it belongs to a session.
    pub turn: Option<Turn>,
    /// Its permit to run.
    pub permit: Permit,
    /// Limits the commands that have ended while a background process still has their pipes open.
    pub held_pipes: Quota,
    /// The command as its clients see it.
    pub process: Arc<Process>,
    /// The requests of its clients.
    pub controls: Controls,
    /// The table that it is in.
    pub registry: Arc<Registry>,
}

/// The reason why the command ends.
enum End {
    /// It exited.
    Exited,
    /// It took too long. Its tree is being ended.
    TimedOut(JoinHandle<()>),
    /// Its client left. Its tree is being ended.
    Abandoned(JoinHandle<()>),
    /// Its session was deleted. Its tree is being ended.
    Deleted(JoinHandle<()>),
    /// A client has ended it. Its tree is being ended, with this grace.
    Requested(JoinHandle<()>, Duration),
}

impl Task {
    /// Runs the command to its end and writes all its events to its log.
    pub async fn run(mut self) {
        let started = Instant::now();
        let mut signals = Vec::new();
        let end = self.until_end(&mut signals).await;
        match end {
            End::Exited => self.finish(signals, started, true, "command ended").await,
            End::Deleted(ending) => {
                self.finish_after(
                    ending,
                    TREE_END_TIMEOUT,
                    signals,
                    started,
                    "its session was deleted",
                )
                .await;
            }
            End::Requested(ending, grace) => {
                let timeout = grace.saturating_add(TREE_END_TIMEOUT);
                self.finish_after(ending, timeout, signals, started, "a client ended it")
                    .await;
            }
            End::TimedOut(mut ending) => {
                let deadline = self.deadline.unwrap_or(started);
                let tree_end = self.forward_until(deadline + TREE_END_TIMEOUT, &mut ending, &mut signals);
                let is_ended = tree_end.await;
                // Signals are refused from now on: nobody receives them.
                drop(self.controls);
                let status = if is_ended { self.child.status() } else { None };
                let exit = status::timed_out(status);
                log("command timed out", started, Some(exit.exit_code));
                self.outputs.command_ended();
                drop(self.activity);
                let _ = timeout_at(deadline + OUTPUT_TIMEOUT, self.outputs.forward_all()).await;
                self.process.finish(Ok(exit));
                self.registry.ended(&self.process);
                // Last, however long it takes: see `tree` for why.
                let reaped = async {
                    if !is_ended {
                        wait_ended(&mut ending, &self.child).await;
                    }
                    wait_sent(signals).await;
                    reap(self.child);
                    drop(self.turn);
                    self.process.end_supervision();
                };
                drop(self.permit);
                let drained = self.outputs.remaining().drain(&self.held_pipes);
                tokio::join!(drained, reaped);
            }
            End::Abandoned(mut ending) => {
                wait_ended(&mut ending, &self.child).await;
                wait_sent(signals).await;
                let exit = reap(self.child).map(status::ended);
                let exit_code = exit.as_ref().map(|exit| exit.exit_code);
                self.process.finish(exit.ok_or_else(lost));
                self.registry.ended(&self.process);
                self.process.end_supervision();
                log("command killed: its client left", started, exit_code);
            }
        }
    }

    /// As [`finish`](Self::finish), once `ending` has ended the tree, or `limit` is over.
    async fn finish_after(
        mut self,
        mut ending: JoinHandle<()>,
        limit: Duration,
        mut signals: Vec<JoinHandle<()>>,
        started: Instant,
        why: &str,
    ) {
        let is_ended = self.forward_until(Instant::now() + limit, &mut ending, &mut signals);
        if !is_ended.await {
            wait_ended(&mut ending, &self.child).await;
        }
        self.finish(signals, started, false, &format!("command ended: {why}"))
            .await;
    }

    /// Writes the rest of the output and the exit of a command that has ended. With `saves`, its session
    /// gets its changes.
    async fn finish(mut self, signals: Vec<JoinHandle<()>>, started: Instant, saves: bool, what: &str) {
        wait_sent(signals).await;
        let exit = reap(self.child).map(status::ended);
        let exit_code = exit.as_ref().map(|exit| exit.exit_code);
        let exit = exit.ok_or_else(lost);
        // A client that reads nothing delays the end of the log, but not requests for the end.
        drop(self.controls);
        self.process.end_supervision();
        // Before the client gets the exit: its next command finds this one's changes.
        let save_error = match self.turn.take() {
            Some(turn) if saves => turn.save().await.err(),
            _ => None,
        };
        self.outputs.command_ended();
        drop(self.activity);
        let log = &self.process.log;
        let abandoned = wait_abandoned(log, self.linger);
        tokio::select! {
            () = self.outputs.forward_all() => {}
            () = abandoned => {
                // The rest no longer waits for an owner that returns.
                log.forget_owner();
                self.outputs.forward_all().await;
            }
            // Publishes the exit, and never completes.
            never = publish_exit_after(UNREAD_TIMEOUT, log, &exit) => match never {},
        }
        if let Some(message) = save_error {
            self.process.log.write_line(&message);
        }
        self.process.finish(exit);
        self.registry.ended(&self.process);
        drop(self.permit);
        // First the task that sends the event to the client runs, then the log line is written.
        yield_now().await;
        self::log(what, started, exit_code);
        self.outputs.remaining().drain(&self.held_pipes).await;
    }

    /// Forwards output until the command ends or has to be ended. Adds the signals that are being
    /// sent to `signals`.
    async fn until_end(&mut self, signals: &mut Vec<JoinHandle<()>>) -> End {
        let first_end = async {
            let expired = wait_deadline(self.deadline);
            let deleted = async {
                match &self.turn {
                    Some(turn) => turn.session().deleted().await,
                    None => std::future::pending().await,
                }
            };
            let abandoned = wait_abandoned(&self.process.log, self.linger);
            let tree = self.tree.clone();
            tokio::select! {
                biased;
                () = self.child.ended() => End::Exited,
                () = expired => End::TimedOut(spawn_end(move || tree.end(KILL_GRACE))),
                () = deleted => End::Deleted(spawn_end(move || tree.end(KILL_GRACE))),
                // Without a grace: a command may take long to end, and no client is left to read
                // its output.
                () = abandoned => End::Abandoned(spawn_end(move || tree.kill())),
            }
        };
        let session = self
            .turn
            .as_ref()
            .filter(|_| self.linger.is_some())
            .map(Turn::session);
        let probe = probe_running(session.map(AsRef::as_ref), &self.process.log);
        let (mut first_end, mut probe) = (std::pin::pin!(first_end), std::pin::pin!(probe));
        loop {
            tokio::select! {
                biased;
                end = &mut first_end => return end,
                Some(control) = self.controls.requests.recv() => {
                    let tree = self.tree.clone();
                    match control {
                        Control::End(grace) => return End::Requested(spawn_end(move || tree.end(grace)), grace),
                        Control::Signal(signal, done) => {
                            signals.retain(|signal: &JoinHandle<()>| !signal.is_finished());
                            signals.push(signal_tree(tree, signal, done));
                        }
                    }
                }
                // Writes to the log, and never completes.
                never = &mut probe => match never {},
                () = self.outputs.forward() => {}
            }
        }
    }

    /// Forwards output until the tree has been ended and the command with it, or until `deadline`;
    /// returns whether it was.
    /// It may be asked again to end, with a shorter grace: adds what is being sent to `signals`.
    async fn forward_until(
        &mut self,
        deadline: Instant,
        ending: &mut JoinHandle<()>,
        signals: &mut Vec<JoinHandle<()>>,
    ) -> bool {
        let ended = timeout_at(deadline, wait_ended(ending, &self.child));
        let mut ended = std::pin::pin!(ended);
        loop {
            tokio::select! {
                biased;
                ended = &mut ended => return ended.is_ok(),
                Some(control) = self.controls.requests.recv() => {
                    let tree = self.tree.clone();
                    signals.push(match control {
                        Control::End(grace) => spawn_end(move || tree.end(grace)),
                        Control::Signal(signal, done) => signal_tree(tree, signal, done),
                    });
                }
                () = self.outputs.forward() => {}
            }
        }
    }
}

/// The error of a command whose exit status is lost.
fn lost() -> ErrorBody {
    ErrorBody::new(ErrorCode::ExecError, "the command's exit status is lost")
}

fn reap(child: Child) -> Option<ExitStatus> {
    child
        .reap()
        .inspect_err(|e| tracing::error!(error = %e, "the exit status of a command is lost"))
        .ok()
}

fn log(what: &str, started: Instant, exit_code: Option<i32>) {
    let duration_ms = started.elapsed().as_millis();
    tracing::info!(exit_code, duration_ms, "{what}");
}
