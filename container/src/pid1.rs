//! The duties of pid 1: every process that loses its parent becomes a child of `sandboxd`. A parent
//! must reap its children when they die, or they stay in the process table as zombies.
//!
//! Commands are children too, but each belongs to a task, which needs its exit status. Two things
//! tell commands from orphans. The kernel gives an orphan to the first thread of `sandboxd`, and a
//! child to the thread that forks it: the first thread forks none, reaps orphans, and looks at
//! children of its own only. And [`Children`] knows every child of a task: it becomes one of the
//! first thread's, too, when the thread that forked it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, getpid, set_child_subreaper};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::process::children::Children;
use crate::process::scan;
use crate::threads::PROCESSES;

/// The time that a zombie may wait. Every scan of the process table costs time, and the end of each
/// command asks for one.
const REAP_DELAY: Duration = Duration::from_millis(200);

/// Reaps orphans.
#[derive(Debug)]
pub struct Reaper {
    children: Arc<Children>,
    child_died: Signal,
}

impl Reaper {
    /// Makes orphans of this process's descendants its children.
    pub fn new(children: Arc<Children>) -> io::Result<Self> {
        if !getpid().is_init() {
            set_child_subreaper(Some(getpid()))?;
        }
        Ok(Self {
            children,
            child_died: signal(SignalKind::child())?,
        })
    }

    /// Reaps orphans without end. Only the first thread of the process may poll it.
    pub async fn run(mut self) {
        while self.child_died.recv().await.is_some() {
            tokio::time::sleep(REAP_DELAY).await;
            if let Ok(dead) = PROCESSES.run(dead_children).await {
                self.children.reap_orphans(&dead);
            }
        }
    }
}

fn dead_children() -> Vec<Pid> {
    let own = getpid();
    let dead =
        |process: scan::Process| (process.parent == Some(own) && process.is_dead()).then_some(process.pid);
    scan::processes().filter_map(dead).collect()
}
