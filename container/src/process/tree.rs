//! Finding and ending every process that a command started.
//!
//! A process belongs to a command when it is in the command's process group, or was started with the command's cookie
//! in its environment, or descends from such a process. The group finds what an ordinary command starts; the cookie
//! finds what left it (`setsid`, a daemon's double fork), even when its parents are gone; descent finds what cleared
//! its environment. The process group may be asked for as long as the command itself has not been collected: until
//! then the kernel gives its id to nobody else.
//!
//! Everything here blocks, for about a millisecond for every hundred processes. It is called on blocking threads.

use std::collections::HashSet;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Gid, Pid, Signal, Uid, getpid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use super::scan::{self, Process};
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
    Sandboxd,
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
        Self { root: Root::Sandboxd }
    }

    /// Asks every process to end (SIGTERM), and kills what has not after `grace`.
    pub fn end(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut pause = Duration::from_millis(1);
        send(&self.living(), Signal::TERM);
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
        let started = Instant::now();
        let mut killed = HashSet::new();
        let mut last_new = started;
        while !self.is_empty() {
            let living = self.living();
            send(&living, Signal::KILL);
            let known = killed.len();
            killed.extend(living);
            if killed.len() > known {
                last_new = Instant::now();
            }
            if last_new.elapsed() >= DYING || started.elapsed() >= GROWING {
                tracing::warn!(processes = self.living().len(), "processes outlive SIGKILL");
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

    fn living(&self) -> Vec<Process> {
        let all: Vec<_> = scan::processes().collect();
        let mut members: HashSet<Pid> = self.roots(&all).into_iter().collect();
        loop {
            let known = members.len();
            for process in &all {
                if process.parent.is_some_and(|parent| members.contains(&parent)) {
                    members.insert(process.pid);
                }
            }
            if members.len() == known {
                break;
            }
        }
        let own = getpid();
        all.into_iter()
            .filter(|process| members.contains(&process.pid) && process.pid != own && !process.is_dead())
            .collect()
    }

    fn roots(&self, all: &[Process]) -> Vec<Pid> {
        let Root::Command { leader, cookie, ids } = &self.root else {
            return vec![getpid()];
        };
        let (mut roots, others): (Vec<&Process>, Vec<&Process>) = all
            .iter()
            .filter(|process| process.pid != getpid())
            .partition(|process| process.group == Some(*leader));
        let mut hidden = Vec::new();
        for process in others {
            match process.has_variable(cookie) {
                Ok(true) => roots.push(process),
                Ok(false) => {}
                Err(_) => hidden.push(process),
            }
        }
        if let Some(ids) = ids.as_ref().filter(|_| !hidden.is_empty()) {
            let found = looking_as(ids, || {
                hidden.retain(|process| process.has_variable(cookie).unwrap_or(false));
                hidden
            });
            match found {
                Ok(found) => roots.extend(found),
                Err(e) => tracing::warn!(error = %e, "cannot look for processes that left their group"),
            }
        }
        roots.into_iter().map(|process| process.pid).collect()
    }
}

/// Runs `look` with the effective ids of the user that commands run as. A container's root usually lacks the right to
/// look into the processes of others (CAP_SYS_PTRACE); their owner may.
fn looking_as<T>(ids: &Ids, look: impl FnOnce() -> T) -> io::Result<T> {
    let keep = (None::<Uid>, None::<Gid>);
    set_thread_res_gid(keep.1, ids.gid, keep.1)?;
    if let Err(e) = set_thread_res_uid(keep.0, ids.uid, keep.0) {
        set_thread_res_gid(keep.1, Gid::ROOT, keep.1)?;
        return Err(e.into());
    }
    let found = look();
    // Only this thread was changed. Its real and saved ids are root's, so it may always change back.
    set_thread_res_uid(keep.0, Uid::ROOT, keep.0)?;
    set_thread_res_gid(keep.1, Gid::ROOT, keep.1)?;
    Ok(found)
}

fn send(processes: &[Process], signal: Signal) {
    for process in processes {
        if let Err(e) = process.signal(signal) {
            tracing::warn!(pid = process.pid.as_raw_pid(), error = %e, "cannot signal a process");
        }
    }
}
