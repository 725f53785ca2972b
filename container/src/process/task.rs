//! The task that owns a command, from its start until nothing of it is ours any more.

use std::process::ExitStatus;
use std::time::Duration;

use sandbox_protocol::Event;
use sandbox_protocol::event::Exit;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::output::Outputs;
use super::spawn::Child;
use super::status;
use super::tree::Tree;
use crate::activity::Busy;

/// How long a command that timed out has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// After its timeout and this long, a command's `exit` is sent, whatever is still in the way of it.
const OVERTIME: Duration = Duration::from_millis(1800);

/// How long, beyond the grace, the end of a tree is waited for.
const LAST_BREATH: Duration = Duration::from_millis(300);

/// A command that runs.
#[derive(Debug)]
pub struct Task {
    /// The command itself.
    pub child: Child,
    /// Every process it starts.
    pub tree: Tree,
    /// What it writes.
    pub outputs: Outputs,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Whether it goes on without its client.
    pub detached: bool,
    /// Counts the command while it runs.
    pub busy: Busy,
}

/// Why the command is over.
enum End {
    /// It ended by itself.
    Own,
    /// It took too long.
    TimedOut,
    /// Its client left.
    Abandoned,
}

impl Task {
    /// Runs the command to its end and sends all its events.
    pub async fn run(mut self) {
        let started = Instant::now();
        let end = self.until_end().await;
        let Self {
            child,
            mut outputs,
            timeout: limit,
            busy,
            ..
        } = self;
        let pid = child.pid().as_raw_pid();
        outputs.command_ended();
        let (exit, undead) = match end {
            End::Own => (collect(child).map(status::ended), None),
            End::TimedOut => match timeout(LAST_BREATH, child.ended()).await {
                Ok(()) => (Some(status::timed_out(collect(child))), None),
                Err(_) => (Some(status::timed_out(None)), Some(child)),
            },
            End::Abandoned => {
                child.ended().await;
                (collect(child).map(status::ended), None)
            }
        };
        drop(busy);
        log(pid, started, &end, exit.as_ref());
        let rest = async {
            while !outputs.is_done() {
                outputs.forward().await;
            }
        };
        match (&end, limit) {
            // The tree is dead, so what is left is little; a client that does not even take that shall see the end.
            (End::TimedOut, Some(limit)) => drop(timeout_at(started + limit + OVERTIME, rest).await),
            (End::Abandoned, _) => return,
            _ => rest.await,
        }
        if let Some(exit) = exit {
            outputs.finish(&Event::Exit(exit)).await;
        }
        outputs.drain().await;
        if let Some(child) = undead {
            child.ended().await;
            collect(child);
        }
    }

    /// Forwards output until the command is over; then, its tree is dead unless it ended by itself.
    async fn until_end(&mut self) -> End {
        let Self {
            child,
            tree,
            outputs,
            timeout,
            detached,
            ..
        } = self;
        let client_gone = outputs.client_gone();
        let over = async {
            let expired = async {
                match *timeout {
                    Some(limit) => sleep(limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = child.ended() => End::Own,
                () = expired => {
                    in_background(tree, |tree| tree.end(GRACE)).await;
                    End::TimedOut
                }
                // With no grace: a command that is asked to end may take its time, and there is nobody left to read
                // what it would say.
                () = client_gone, if !*detached => {
                    in_background(tree, Tree::kill).await;
                    End::Abandoned
                }
            }
        };
        let mut over = std::pin::pin!(over);
        loop {
            tokio::select! {
                biased;
                end = &mut over => return end,
                () = outputs.forward() => {}
            }
        }
    }
}

/// Does `act` on a thread that may block, and waits for it as long as an ordinary tree takes.
async fn in_background(tree: &Tree, act: impl FnOnce(&Tree) + Send + 'static) {
    let tree = tree.clone();
    // It goes on when it is not waited for any more.
    let _ = timeout(GRACE + LAST_BREATH, spawn_blocking(move || act(&tree))).await;
}

fn collect(child: Child) -> Option<ExitStatus> {
    child
        .collect()
        .inspect_err(|e| tracing::error!(error = %e, "the exit status of a command is lost"))
        .ok()
}

fn log(pid: i32, started: Instant, end: &End, exit: Option<&Exit>) {
    let duration_ms = started.elapsed().as_millis();
    let exit_code = exit.map(|exit| exit.exit_code);
    let why = match end {
        End::Own => "command ended",
        End::TimedOut => "command timed out",
        End::Abandoned => "command killed: its client left",
    };
    tracing::info!(pid, exit_code, duration_ms, "{why}");
}
