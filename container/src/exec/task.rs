//! The task that owns a command, from its start until `sandboxd` holds nothing of it any more.

use std::process::ExitStatus;
use std::time::Duration;

use sandbox_protocol::event::Exit;
use sandbox_protocol::{ErrorBody, ErrorCode, Event};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::disconnect::probe_running;
use super::output::{Outputs, RemainingOutput};
use crate::activity::ActivityGuard;
use crate::process::spawn::Child;
use crate::process::status;
use crate::process::tree::Tree;
use crate::quota::{Permit, Quota};
use crate::session::turn::Turn;
use crate::threads::PROCESSES;

/// The time that a command has between SIGTERM and SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// The time after the command's timeout for which the end of its tree is waited for. It takes the
/// grace, and longer only if a process cannot be interrupted, or forks as fast as it can be killed.
const TREE_END_TIMEOUT: Duration = Duration::from_millis(1700);

/// The time after the command's timeout at which unread output is dropped, so that the client gets
/// the end.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(1800);

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
    /// Whether it goes on without its client.
    pub detached: bool,
    /// Counts the command while it runs.
    pub activity: ActivityGuard,
    /// Its turn, if it belongs to a session.
    pub turn: Option<Turn>,
    /// Its permit to run.
    pub permit: Permit,
    /// Limits the commands whose background processes hold their outputs.
    pub in_background: Quota,
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
}

impl Task {
    /// Runs the command to its end and sends all its events.
    pub async fn run(mut self) {
        let started = Instant::now();
        match self.until_end().await {
            End::Exited => self.finish(started, "command ended").await,
            End::Deleted(mut ending) => {
                // Its changes to the session are lost with the session.
                let is_ended = self.forward_until(Instant::now() + TREE_END_TIMEOUT, &mut ending);
                if !is_ended.await {
                    ended(&mut ending, &self.child).await;
                }
                self.finish(started, "command ended: its session was deleted")
                    .await;
            }
            End::TimedOut(mut ending) => {
                let deadline = self.deadline.unwrap_or(started);
                let is_ended = self.forward_until(deadline + TREE_END_TIMEOUT, &mut ending).await;
                let status = if is_ended { self.child.status() } else { None };
                let exit = status::timed_out(status);
                log("command timed out", started, Some(exit.exit_code));
                self.outputs.command_ended();
                drop(self.activity);
                let _ = timeout_at(deadline + OUTPUT_TIMEOUT, self.outputs.forward_all()).await;
                // Last, however long it takes: see `tree` for why.
                let collected = async {
                    if !is_ended {
                        ended(&mut ending, &self.child).await;
                    }
                    collect(self.child);
                    drop(self.turn);
                };
                let report = async {
                    let remaining = send_end(self.outputs, Some(exit)).await;
                    drop(self.permit);
                    remaining.drain(&self.in_background).await;
                };
                tokio::join!(report, collected);
            }
            End::Abandoned(mut ending) => {
                ended(&mut ending, &self.child).await;
                let exit = collect(self.child).map(status::ended);
                log(
                    "command killed: its client left",
                    started,
                    exit.map(|exit| exit.exit_code),
                );
            }
        }
    }

    /// Sends the rest of the output and the exit of a command that has ended.
    async fn finish(mut self, started: Instant, what: &str) {
        let exit = collect(self.child).map(status::ended);
        let exit_code = exit.as_ref().map(|exit| exit.exit_code);
        // Before the client gets the exit: its next command finds this one's changes.
        let save_error = match self.turn.take() {
            Some(turn) => turn.save().await.err(),
            None => None,
        };
        self.outputs.command_ended();
        drop(self.activity);
        self.outputs.forward_all().await;
        if let Some(message) = save_error {
            self.outputs.write_line(&message).await;
        }
        let remaining = send_end(self.outputs, exit).await;
        drop(self.permit);
        // First the task that sends the event to the client runs, then the log line is written.
        yield_now().await;
        log(what, started, exit_code);
        remaining.drain(&self.in_background).await;
    }

    /// Forwards output until the command ends or has to be ended.
    async fn until_end(&mut self) -> End {
        let client_gone = self.outputs.client_gone();
        let first_end = async {
            let expired = expired(self.deadline);
            let deleted = async {
                match &self.turn {
                    Some(turn) => turn.session().deleted().await,
                    None => std::future::pending().await,
                }
            };
            let tree = self.tree.clone();
            tokio::select! {
                biased;
                () = self.child.ended() => End::Exited,
                () = expired => End::TimedOut(end(move || tree.end(KILL_GRACE))),
                () = deleted => End::Deleted(end(move || tree.end(KILL_GRACE))),
                // Without a grace: a command may take long to end, and no client is left to read
                // its output.
                () = client_gone, if !self.detached => End::Abandoned(end(move || tree.kill())),
            }
        };
        let session = self.turn.as_ref().filter(|_| !self.detached).map(Turn::session);
        let events = self.outputs.events();
        let probe = probe_running(session.map(AsRef::as_ref), &events);
        let (mut first_end, mut probe) = (std::pin::pin!(first_end), std::pin::pin!(probe));
        loop {
            tokio::select! {
                biased;
                end = &mut first_end => return end,
                never = &mut probe => match never {},
                () = self.outputs.forward() => {}
            }
        }
    }

    /// Forwards output until the tree has been ended and the command with it, or until `deadline`;
    /// returns whether it was.
    async fn forward_until(&mut self, deadline: Instant, ending: &mut JoinHandle<()>) -> bool {
        let ended = timeout_at(deadline, ended(ending, &self.child));
        let mut ended = std::pin::pin!(ended);
        loop {
            tokio::select! {
                biased;
                ended = &mut ended => return ended.is_ok(),
                () = self.outputs.forward() => {}
            }
        }
    }
}

/// Ends a tree, also when the handle is dropped.
fn end(tree: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        // It fails only when it panics.
        let _ = PROCESSES.run(tree).await;
    })
}

/// Returns when a tree was ended, and with it the command `child`, which may take longer. May be
/// called repeatedly.
async fn ended(ending: &mut JoinHandle<()>, child: &Child) {
    if !ending.is_finished() {
        let _ = ending.await;
    }
    child.ended().await;
}

/// Resolves at `deadline`; never without one.
pub async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Sends the last event of the command. Returns the pipes, which its children may still hold.
async fn send_end(outputs: Outputs, exit: Option<Exit>) -> RemainingOutput {
    let last = exit.map_or_else(
        || {
            Event::Error(ErrorBody::new(
                ErrorCode::ExecError,
                "the command's exit status is lost",
            ))
        },
        Event::Exit,
    );
    outputs.finish(&last).await
}

fn collect(child: Child) -> Option<ExitStatus> {
    child
        .collect()
        .inspect_err(|e| tracing::error!(error = %e, "the exit status of a command is lost"))
        .ok()
}

fn log(what: &str, started: Instant, exit_code: Option<i32>) {
    let duration_ms = started.elapsed().as_millis();
    tracing::info!(exit_code, duration_ms, "{what}");
}
