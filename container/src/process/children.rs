//! The children of `sandboxd`, as its tasks and the reaper of orphans share them.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The children of `sandboxd` that tasks own.
#[derive(Debug, Default)]
pub struct Children {
    owned: Mutex<HashSet<Pid>>,
    /// The children that serve `sandboxd`.
    helpers: Mutex<HashSet<Pid>>,
}

impl Children {
    /// Enters a child that the calling thread has forked. Until that thread ends, no other thread
    /// reaps it.
    pub fn enter(&self, pid: Pid) {
        self.owned().insert(pid);
    }

    /// Enters a child that serves `sandboxd`, and is no process of the sandbox.
    pub fn enter_helper(&self, pid: Pid) {
        lock(&self.helpers).insert(pid);
        self.enter(pid);
    }

    /// The children that serve `sandboxd`.
    pub fn helpers(&self) -> Vec<Pid> {
        lock(&self.helpers).iter().copied().collect()
    }

    /// Waits until the child `pid` has ended, then calls `reap`, which reaps it, and removes the
    /// child.
    pub fn reap<T>(&self, pid: Pid, reap: impl FnOnce() -> T) -> T {
        // Without the lock: a system call that cannot be interrupted delays even SIGKILL. Fails
        // when it is reaped.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let mut owned = self.owned();
        let reaped = reap();
        // Under the same lock: the next child may get its pid.
        owned.remove(&pid);
        lock(&self.helpers).remove(&pid);
        reaped
    }

    /// Reaps the orphans among the processes `dead`. Only the first thread of the process may
    /// call it.
    pub fn reap_orphans(&self, dead: &[Pid]) {
        let owned = self.owned();
        for pid in dead.iter().filter(|pid| !owned.contains(pid)) {
            // Fails when it is gone already, or is a child that another thread is just starting.
            // SAFETY: with a null pointer for the status the kernel writes nothing.
            unsafe {
                libc::waitpid(
                    pid.as_raw_pid(),
                    std::ptr::null_mut(),
                    libc::WNOHANG | libc::__WNOTHREAD,
                )
            };
        }
    }

    fn owned(&self) -> MutexGuard<'_, HashSet<Pid>> {
        lock(&self.owned)
    }
}

fn lock(pids: &Mutex<HashSet<Pid>>) -> MutexGuard<'_, HashSet<Pid>> {
    pids.lock().unwrap_or_else(PoisonError::into_inner)
}
