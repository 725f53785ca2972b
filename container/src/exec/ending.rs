//! The ends of commands: what ends one, and what must have happened before it counts as ended.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use rustix::process::Signal;
use sandbox_protocol::ErrorBody;
use sandbox_protocol::event::Exit;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::event_log::EventLog;
use crate::process::spawn::Child;
use crate::process::tree::Tree;
use crate::threads::PROCESSES;

/// Makes the end of a command known after `delay`. Never resolves.
pub async fn publish_exit_after(
    delay: Duration,
    log: &EventLog,
    exit: &Result<Exit, ErrorBody>,
) -> Infallible {
    sleep(delay).await;
    log.set_end(exit.clone());
    pending().await
}

/// Sends a signal to a tree, and then answers `done`.
pub fn signal_tree(tree: Tree, signal: Signal, done: oneshot::Sender<()>) -> JoinHandle<()> {
    spawn_end(move || {
        tree.signal(signal);
        // Fails when its client has left.
        let _ = done.send(());
    })
}

/// Returns when all signals have been sent. The command is reaped afterwards, and then its tree
/// cannot be searched any more.
pub async fn wait_sent(signals: Vec<JoinHandle<()>>) {
    for signal in signals {
        let _ = signal.await;
    }
}

/// Ends a tree, or signals it, also when the handle is dropped.
pub fn spawn_end(tree: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        // It fails only when it panics.
        let _ = PROCESSES.run(tree).await;
    })
}

/// Returns when a tree was ended, and with it the command `child`, which may take longer. May be
/// called repeatedly.
pub async fn wait_ended(ending: &mut JoinHandle<()>, child: &Child) {
    if !ending.is_finished() {
        let _ = ending.await;
    }
    child.ended().await;
}

/// Resolves when there has been no owner of `log` for `linger`; never without one.
pub async fn wait_abandoned(log: &EventLog, linger: Option<Duration>) {
    match linger {
        Some(linger) => log.abandoned(linger).await,
        None => pending().await,
    }
}

/// Resolves at `deadline`; never without one.
pub async fn wait_deadline(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
