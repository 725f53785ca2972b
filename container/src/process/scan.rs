//! The process table, as `/proc` shows it.
//!
//! `stat` can always be read. `environ`, `cmdline`, `maps` and others take the lock of the
//! process's address space, which a process that hangs may hold for ever.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process at the time of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id. Ids are reused: only with `started` does it name one process.
    pub pid: Pid,
    /// Its parent; `None` when that is outside the pid namespace, or when the process is being
    /// removed.
    pub parent: Option<Pid>,
    /// Its process group; `None` as above.
    pub group: Option<Pid>,
    /// Its start time, in clock ticks since the machine started.
    started: u64,
    dead: bool,
}

/// The id of a process and its start time.
pub type Identity = (Pid, u64);

/// Every visible process, zombies included.
pub fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| Process::find(Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?))
}

impl Process {
    /// The process that has the id `pid` now.
    pub fn find(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
        Self::from_stat(pid, &stat)
    }

    fn from_stat(pid: Pid, stat: &str) -> Option<Self> {
        // The second field, the program's name in parentheses, may contain blanks and parentheses.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        let mut id = || fields.next()?.parse().ok();
        // An id outside the namespace is 0; a process that is being removed has 0 or -1.
        let [parent, group] = [id()?, id()?].map(|id: i32| Pid::from_raw(id.max(0)));
        let threads: u32 = fields.nth(14)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        Some(Self {
            pid,
            parent,
            group,
            started,
            // A process whose first thread has ended looks like a zombie, yet its other threads
            // run.
            dead: matches!(state, "Z" | "X") && threads <= 1,
        })
    }

    /// Whether it is a zombie.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// The identity of this process, which no later one with the same id has.
    pub fn identity(&self) -> Identity {
        (self.pid, self.started)
    }

    /// Its environment at its start, each `NAME=value` followed by a NUL; empty when it is gone.
    /// Fails when it may not be read. Blocks while the process holds the lock of its address space:
    /// see [`cookie`](super::cookie).
    pub fn environment(&self) -> io::Result<Vec<u8>> {
        match fs::read(format!("/proc/{}/environ", self.pid.as_raw_pid())) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(e),
            environ => Ok(environ.unwrap_or_default()),
        }
    }

    /// Sends `signal` to this process, and to no later one with the same id. A process that is gone
    /// is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let handle = match pidfd_open(self.pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(()),
            handle => handle?,
        };
        // If it is still the same after the handle was opened, the handle is for this process.
        if Self::find(self.pid).is_none_or(|now| now.identity() != self.identity()) {
            return Ok(());
        }
        match pidfd_send_signal(handle, signal) {
            Err(Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_of_proc() {
        let pid = Pid::from_raw(7).unwrap();
        let line = |state: &str, threads: u32| {
            format!("7 (a) b (c) {state} 3 5 6 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 12345 9 9")
        };
        let process = Process::from_stat(pid, &line("S", 1)).unwrap();
        assert_eq!(
            (process.parent, process.group),
            (Pid::from_raw(3), Pid::from_raw(5))
        );
        assert_eq!((process.started, process.is_dead()), (12345, false));
        assert!(Process::from_stat(pid, &line("Z", 1)).unwrap().is_dead());
        assert!(!Process::from_stat(pid, &line("Z", 2)).unwrap().is_dead());
        assert_eq!(Process::from_stat(pid, "7 (a) S"), None);
        let removed = format!("7 (a) X 0 -1 -1{}", " 0".repeat(16));
        assert_eq!(Process::from_stat(pid, &removed).unwrap().group, None);
    }

    #[test]
    fn sees_this_process() {
        let own = rustix::process::getpid();
        let process = processes().find(|process| process.pid == own).unwrap();
        assert_eq!(process.parent, rustix::process::getppid());
        let environment = process.environment().unwrap();
        let mut variables = environment.split(|byte| *byte == 0);
        assert!(variables.any(|variable| variable.starts_with(b"PATH=")));
    }
}
