//! Finding and ending every process that a command started.
//!
//! A process belongs to a command when it is in the command's process group, or was started with the command's cookie
//! in its environment, or descends from such a process. The group finds what an ordinary command starts; the cookie
//! finds what left it (`setsid`, a daemon's double fork), even when its parents are gone; descent finds what cleared
//! its environment. A tree may only be looked at while its command has not been collected: until then the kernel gives
//! the id of the process group to nobody else.
//!
//! Everything here blocks, for about a millisecond for every hundred processes. It is called on blocking threads. Those
//! that end trees at the same moment [look](look()) together.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process_group};

use super::look::{Mark, look};
use super::scan::Process;
use crate::user::Ids;

/// The variable that holds the cookie.
pub const COOKIE: &str = "SANDBOX_EXEC_ID";

/// The longest pause between two looks at the process table.
const PAUSE: Duration = Duration::from_millis(50);

/// For so long a process that was killed may go on to exist. It may be inside a system call that cannot be
/// interrupted; it runs no more of its program, so there is nothing to wait for.
const DYING: Duration = Duration::from_millis(500);

/// For so long a tree is killed that grows again and again.
const GROWING: Duration = Duration::from_secs(10);

/// All processes of a command, or of `sandboxd`.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Root,
}

#[derive(Debug, Clone)]
enum Root {
    /// Whatever descends from `sandboxd`; orphans do, because it is their reaper.
    Sandboxd {
        /// What is left alone.
        spared: Vec<Pid>,
    },
    Command {
        leader: Pid,
        /// `NAME=value`.
        cookie: String,
        ids: Option<Ids>,
    },
}

impl Tree {
    /// The tree of the command `leader`, which leads its own process group, has `cookie` as its value of [`COOKIE`]
    /// and runs with `ids` if they are not those of `sandboxd`.
    pub fn of_command(leader: Pid, cookie: &str, ids: Option<Ids>) -> Self {
        let cookie = format!("{COOKIE}={cookie}");
        Self {
            root: Root::Command { leader, cookie, ids },
        }
    }

    /// Every process that `sandboxd` has ever started and that still runs.
    pub fn everything() -> Self {
        Self::everything_but(Vec::new())
    }

    /// Every process that `sandboxd` has ever started and that still runs, apart from `spared`.
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
        let mut pause = Duration::from_millis(1);
        while !self.is_empty() {
            if Instant::now() >= deadline {
                return self.kill();
            }
            sleep(pause);
            // Most trees end at once; looking costs time that others need.
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Kills every process, again and again until there are none: one may fork while we look.
    pub fn kill(&self) {
        if let Root::Command { leader, .. } = &self.root {
            // At one blow, before the first look: whoever forks is usually in it. An error says that it is empty.
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
            } else if last_new.elapsed() >= DYING || started.elapsed() >= GROWING {
                tracing::warn!("processes outlive SIGKILL");
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Looks twice: a process that executes a program has no environment, and so no cookie, for an instant.
    fn is_empty(&self) -> bool {
        self.living().is_empty() && {
            sleep(Duration::from_millis(1));
            self.living().is_empty()
        }
    }

    /// The processes that run, older ones before younger ones as a rule: who forks before whom it forked.
    fn living(&self) -> Vec<Process> {
        let mut members = match &self.root {
            Root::Sandboxd { spared } => {
                let mut members = look(None).descendants(getpid());
                members.retain(|process| !spared.contains(&process.pid));
                members
            }
            Root::Command { leader, cookie, ids } => {
                let mark = Mark {
                    variable: cookie,
                    ids: ids.as_ref(),
                };
                look(Some(mark)).tree(*leader, cookie)
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
