//! Finding and ending every process that a command started.
//!
//! A process belongs to a command when it is in the command's process group, or was started with
//! the command's cookie in its environment, or descends from such a process. The group finds the
//! processes of an ordinary command; the cookie finds those that left it (`setsid`, a daemon's
//! double fork), even when their parents are gone; descent finds those that cleared their
//! environment. A tree may only be searched while its command has not been reaped: until then
//! the kernel does not reuse the id of the process group.
//!
//! The cookie of a process that hangs may be unreadable: see [`cookie`](super::cookie).
//!
//! Everything here blocks, for about a millisecond for every hundred processes. It is called on
//! blocking threads. Threads that end trees at the same time share a [snapshot](take_snapshot).

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process_group};

use super::scan::Process;
use super::snapshot::{Mark, take_snapshot};
use crate::user::Ids;

/// The variable that holds the cookie.
pub const COOKIE: &str = "SANDBOX_EXEC_ID";

/// The longest time between two snapshots of the process table.
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The time for which a killed process is waited for. It may be inside a system call that cannot be
/// interrupted; its program does not run any more, so there is nothing to wait for.
const EXIT_TIMEOUT: Duration = Duration::from_millis(500);

/// The time for which a tree is killed that keeps growing.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// All processes of a command, or of `sandboxd`.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Root,
}

#[derive(Debug, Clone)]
enum Root {
    /// Every descendant of `sandboxd`; orphans are, because it is their reaper.
    Sandboxd {
        /// The processes to leave alone.
        spared: Vec<Pid>,
    },
    Command {
        /// `None`: it may have been reaped.
        leader: Option<Pid>,
        /// `NAME=value`.
        cookie: String,
        ids: Option<Ids>,
    },
}

impl Tree {
    /// The tree of the command `leader`, which leads its own process group, has `cookie` as its
    /// value of [`COOKIE`] and runs with `ids` if they are not those of `sandboxd`.
    pub fn for_command(leader: Pid, cookie: &str, ids: Option<Ids>) -> Self {
        let cookie = format!("{COOKIE}={cookie}");
        Self {
            root: Root::Command {
                leader: Some(leader),
                cookie,
                ids,
            },
        }
    }

    /// The same tree, as far as it is found without its leader, which may have been reaped: by
    /// the cookie and by descent.
    pub fn without_leader(&self) -> Self {
        let mut tree = self.clone();
        if let Root::Command { leader, .. } = &mut tree.root {
            *leader = None;
        }
        tree
    }

    /// Sends `signal` to every process.
    pub fn signal(&self, signal: Signal) {
        send(&self.living(), signal);
    }

    /// The user that its processes run as, if it is another than that of `sandboxd`.
    pub fn user(&self) -> Option<&Ids> {
        match &self.root {
            Root::Command { ids, .. } => ids.as_ref(),
            Root::Sandboxd { .. } => None,
        }
    }

    /// The ids of the processes that run.
    pub fn pids(&self) -> Vec<Pid> {
        self.living().iter().map(|process| process.pid).collect()
    }

    /// Every running process that `sandboxd` has ever started.
    pub fn everything() -> Self {
        Self::everything_but(Vec::new())
    }

    /// Every running process that `sandboxd` has ever started, apart from `spared`.
    pub fn everything_but(spared: Vec<Pid>) -> Self {
        Self {
            root: Root::Sandboxd { spared },
        }
    }

    /// Asks every process to end (SIGTERM), and kills what has not after `grace`.
    pub fn end(&self, grace: Duration) {
        send(&self.living(), Signal::TERM);
        self.kill_after(grace);
    }

    /// Waits until every process has ended, and kills what has not after `grace`.
    pub fn kill_after(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut interval = Duration::from_millis(1);
        while !self.is_empty() {
            if Instant::now() >= deadline {
                return self.kill();
            }
            sleep(interval);
            // Most trees end at once; a snapshot costs time that others need.
            interval = (interval * 2).min(MAX_POLL_INTERVAL);
        }
    }

    /// Kills every process, again and again until there are none: one may fork during a snapshot.
    pub fn kill(&self) {
        if let Root::Command {
            leader: Some(leader), ..
        } = &self.root
        {
            // The whole group at once, before the first snapshot: a forking process is usually in
            // it. Fails when it is empty.
            let _ = kill_process_group(*leader, Signal::KILL);
        }
        let started = Instant::now();
        let mut last_new = started;
        let mut killed = HashSet::new();
        loop {
            let living = self.living();
            if living.is_empty() && self.is_empty() {
                return;
            }
            send(&living, Signal::KILL);
            let known = killed.len();
            killed.extend(living);
            if killed.len() > known {
                last_new = Instant::now();
            } else if last_new.elapsed() >= EXIT_TIMEOUT || started.elapsed() >= KILL_TIMEOUT {
                tracing::warn!("processes outlive SIGKILL");
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Takes two snapshots: a process that executes a program has no environment, and so no cookie,
    /// for an instant.
    fn is_empty(&self) -> bool {
        self.living().is_empty() && {
            sleep(Duration::from_millis(1));
            self.living().is_empty()
        }
    }

    /// The processes that run, as a rule older ones before younger ones: a parent before its
    /// children.
    fn living(&self) -> Vec<Process> {
        let mut members = match &self.root {
            Root::Sandboxd { spared } => {
                let mut members = take_snapshot(None).descendants(getpid());
                members.retain(|process| !spared.contains(&process.pid));
                members
            }
            Root::Command { leader, cookie, ids } => {
                let mark = Mark {
                    variable: cookie,
                    ids: ids.as_ref(),
                };
                take_snapshot(Some(mark)).tree(*leader, cookie)
            }
        };
        members.retain(|process| !process.is_dead());
        members
    }
}

fn send(processes: &[Process], signal: Signal) {
    for process in processes {
        if let Err(e) = process.signal(signal) {
            tracing::warn!(pid = process.pid.as_raw_pid(), error = %e, "cannot signal a process");
        }
    }
}
