//! The process table, as `/proc` tells it.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process at the moment of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id. Ids are used again: only with `started` does it name one process.
    pub pid: Pid,
    /// Its parent; `None` when that is outside the pid namespace, or when the process is being removed.
    pub parent: Option<Pid>,
    /// Its process group; `None` as above.
    pub group: Option<Pid>,
    /// When it started, in clock ticks since the machine did.
    started: u64,
    dead: bool,
}

/// Every process that can be seen, the dead that nobody collected yet included.
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
        // The second field, the program's name in parentheses, may have blanks and parentheses in it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        let mut id = || fields.next()?.parse().ok();
        // What is outside the namespace is 0; what a process that is being removed has no more is 0 or -1.
        let [parent, group] = [id()?, id()?].map(|id: i32| Pid::from_raw(id.max(0)));
        let threads: u32 = fields.nth(14)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        Some(Self {
            pid,
            parent,
            group,
            started,
            // A process whose first thread has ended looks like a zombie, yet its other threads run.
            dead: matches!(state, "Z" | "X") && threads <= 1,
        })
    }

    /// Whether it has ended and only waits to be collected.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Gives `visit` each `NAME=value` of the environment that it was started with. Fails when we may not look; a process
    /// that is gone has none.
    pub fn environment(&self, visit: impl FnMut(&[u8])) -> io::Result<()> {
        match fs::read(format!("/proc/{}/environ", self.pid.as_raw_pid())) {
            Ok(environ) => environ.split(|byte| *byte == 0).for_each(visit),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Err(e),
            Err(_) => {}
        }
        Ok(())
    }

    /// Sends `signal` to this process, and to no other that has got its id since. A process that is gone is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let handle = match pidfd_open(self.pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(()),
            handle => handle?,
        };
        // Still the same after the handle was opened, so it is the same that the handle stands for.
        if Self::find(self.pid).is_none_or(|now| now.started != self.started) {
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
        let mut names = Vec::new();
        process
            .environment(|variable| {
                names.extend(variable.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec))
            })
            .unwrap();
        assert!(names.contains(&b"PATH".to_vec()));
    }
}
