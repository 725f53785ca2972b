//! The task that owns a command, from its start until nothing of it is ours any more.

use std::process::ExitStatus;
use std::time::Duration;

use sandbox_protocol::event::Exit;
use sandbox_protocol::{ErrorBody, ErrorCode, Event};
use tokio::task::{JoinHandle, spawn_blocking, yield_now};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::output::{Leftover, Outputs};
use super::spawn::Child;
use super::status;
use super::tree::Tree;
use crate::activity::Busy;
use crate::quota::{Permit, Quota};
use crate::session::turn::Turn;

/// How long a command that timed out has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// So long after the timeout the end of the tree is waited for. It takes the grace, and longer only if a process cannot
/// be interrupted, or forks as fast as it can be killed.
const LAST_BREATH: Duration = Duration::from_millis(1700);

/// So long after the timeout, output that the client has not taken is given up: it shall see the end.
const OVERTIME: Duration = Duration::from_millis(1800);

/// A command that runs.
#[derive(Debug)]
pub struct Task {
    /// The command itself.
    pub child: Child,
    /// Every process it starts.
    pub tree: Tree,
    /// What it writes.
    pub outputs: Outputs,
    /// When its time is over.
    pub over: Option<Instant>,
    /// Whether it goes on without its client.
    pub detached: bool,
    /// Counts the command while it runs.
    pub busy: Busy,
    /// Its turn, if it belongs to a session.
    pub turn: Option<Turn>,
    /// Its place among those that run.
    pub permit: Permit,
    /// How many commands may leave children that hold their output.
    pub in_background: Quota,
}

/// Why the command is over.
enum End {
    /// It ended by itself.
    Own,
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
            End::Own => self.finish(started, "command ended").await,
            End::Deleted(mut ending) => {
                // What it did to the session nobody will see.
                let ended = self.forward_until(Instant::now() + LAST_BREATH, &mut ending);
                if !ended.await {
                    let _ = ending.await;
                    self.child.ended().await;
                }
                self.finish(started, "command ended: its session was deleted")
                    .await;
            }
            End::TimedOut(mut ending) => {
                let over = self.over.unwrap_or(started);
                let is_ended = self.forward_until(over + LAST_BREATH, &mut ending).await;
                let status = if is_ended { self.child.status() } else { None };
                let exit = status::timed_out(status);
                log("command timed out", started, Some(exit.exit_code));
                self.outputs.command_ended();
                drop(self.busy);
                let _ = timeout_at(over + OVERTIME, self.outputs.forward_all()).await;
                // Only now, however long it takes: see `tree` for why the command is collected last.
                let collected = async {
                    if !is_ended {
                        let _ = ending.await;
                        self.child.ended().await;
                    }
                    collect(self.child);
                    drop(self.turn);
                };
                let said = async {
                    let leftover = say(self.outputs, Some(exit)).await;
                    drop(self.permit);
                    leftover.drain(&self.in_background).await;
                };
                tokio::join!(said, collected);
            }
            End::Abandoned(ending) => {
                let _ = ending.await;
                self.child.ended().await;
                let exit = collect(self.child).map(status::ended);
                log(
                    "command killed: its client left",
                    started,
                    exit.map(|exit| exit.exit_code),
                );
            }
        }
    }

    /// Says all that is left to say of a command that has ended.
    async fn finish(mut self, started: Instant, what: &str) {
        let exit = collect(self.child).map(status::ended);
        let exit_code = exit.as_ref().map(|exit| exit.exit_code);
        // Before the client knows of the end: its next command finds what this one did.
        let unkept = self.turn.take().and_then(|turn| turn.keep().err());
        self.outputs.command_ended();
        drop(self.busy);
        self.outputs.forward_all().await;
        if let Some(words) = unkept {
            self.outputs.say(&words).await;
        }
        let leftover = say(self.outputs, exit).await;
        drop(self.permit);
        // The client comes before the operator: what sends the event to it runs first.
        yield_now().await;
        log(what, started, exit_code);
        leftover.drain(&self.in_background).await;
    }

    /// Forwards output until the command is over.
    async fn until_end(&mut self) -> End {
        let client_gone = self.outputs.client_gone();
        let over = async {
            let expired = expired(self.over);
            let deleted = async {
                match &self.turn {
                    Some(turn) => turn.session().deleted().await,
                    None => std::future::pending().await,
                }
            };
            let tree = self.tree.clone();
            tokio::select! {
                biased;
                () = self.child.ended() => End::Own,
                () = expired => End::TimedOut(spawn_blocking(move || tree.end(GRACE))),
                // With no grace: a command that is asked to end may take its time, and there is nobody left to read
                // what it would say.
                () = deleted => End::Deleted(spawn_blocking(move || tree.end(GRACE))),
                () = client_gone, if !self.detached => End::Abandoned(spawn_blocking(move || tree.kill())),
            }
        };
        let mut over = std::pin::pin!(over);
        loop {
            tokio::select! {
                biased;
                end = &mut over => return end,
                () = self.outputs.forward() => {}
            }
        }
    }

    /// Forwards output until the tree has been ended and the command with it, or until `deadline`; whether it was.
    async fn forward_until(&mut self, deadline: Instant, ending: &mut JoinHandle<()>) -> bool {
        let ended = timeout_at(deadline, async {
            let _ = ending.await;
            self.child.ended().await;
        });
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

/// Resolves when the time of a command is over, if there is an end to it.
pub async fn expired(over: Option<Instant>) {
    match over {
        Some(over) => sleep_until(over).await,
        None => std::future::pending().await,
    }
}

/// Says how the command ended. What it leaves are the pipes that its children may still hold.
async fn say(outputs: Outputs, exit: Option<Exit>) -> Leftover {
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
