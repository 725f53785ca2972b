//! The duties of pid 1: every process that loses its parent becomes a child of `sandboxd`, and whoever has children
//! must collect them when they die, or they stay in the process table as zombies.
//!
//! Commands are children too, but each belongs to the task that owns it and wants its exit status. So orphans are told
//! apart by exclusion: [`Children`] knows every child that a task owns. A pid is entered by whoever spawned it, a moment
//! after the process came to be; the lock makes the two one step for the reaper.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::process::scan;

/// How long a zombie may wait. Every look at the process table costs time, and the end of each command asks for one.
const PATIENCE: Duration = Duration::from_millis(200);

/// The children of `sandboxd` that tasks own.
#[derive(Debug, Default)]
pub struct Children {
    /// Held for reading while a child is spawned or collected by its owner, for writing while orphans are collected.
    changing: RwLock<()>,
    owned: Mutex<HashSet<Pid>>,
}

impl Children {
    /// Calls `spawn` and enters the pid that `pid` finds in its result.
    pub fn spawn<T>(
        &self,
        spawn: impl FnOnce() -> io::Result<T>,
        pid: impl FnOnce(&T) -> Option<Pid>,
    ) -> io::Result<T> {
        let _changing = self.changing.read().unwrap_or_else(PoisonError::into_inner);
        let child = spawn()?;
        self.owned().extend(pid(&child));
        Ok(child)
    }

    /// Calls `collect`, which waits for the dead child `pid`, and forgets the child.
    pub fn collect<T>(&self, pid: Pid, collect: impl FnOnce() -> T) -> T {
        let _changing = self.changing.read().unwrap_or_else(PoisonError::into_inner);
        // First: once it is collected, the next child may get its pid.
        self.owned().remove(&pid);
        collect()
    }

    /// Collects the orphans among the processes `dead`.
    fn collect_orphans(&self, dead: &[Pid]) {
        let _changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let owned = self.owned();
        for pid in dead.iter().filter(|pid| !owned.contains(pid)) {
            // An error says that it is gone already.
            let _ = waitpid(Some(*pid), WaitOptions::NOHANG);
        }
    }

    fn owned(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes orphans of this process's descendants its children and starts the task that collects them.
pub fn reap_orphans(children: Arc<Children>) -> io::Result<()> {
    if !getpid().is_init() {
        set_child_subreaper(Some(getpid()))?;
    }
    let mut child_died = signal(SignalKind::child())?;
    tokio::spawn(async move {
        while child_died.recv().await.is_some() {
            tokio::time::sleep(PATIENCE).await;
            let children = Arc::clone(&children);
            let reap = move || children.collect_orphans(&dead_children());
            // It fails only when the runtime stops.
            let _ = tokio::task::spawn_blocking(reap).await;
        }
    });
    Ok(())
}

fn dead_children() -> Vec<Pid> {
    let own = getpid();
    let dead =
        |process: scan::Process| (process.parent == Some(own) && process.is_dead()).then_some(process.pid);
    scan::processes().filter_map(dead).collect()
}
