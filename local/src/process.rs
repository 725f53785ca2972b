//! Processes of this machine, identified and ended without races on the process id.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process id with a start time. Together they identify one process for ever; the id alone is
/// reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: i32,
    /// The start time, in clock ticks since the machine booted.
    pub start_time: u64,
}

impl Identity {
    /// The process that has the id `pid` now. Error: there is none.
    pub fn from_pid(pid: i32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let start_time = start_time(&stat)
            .ok_or_else(|| io::Error::other("the kernel's line on a process has an unknown form"))?;
        Ok(Self { pid, start_time })
    }

    /// A handle of this process, if it still exists.
    pub fn open(&self) -> Option<Handle> {
        let handle = Handle::open(self.pid).ok()?;
        // Checked after the handle was opened: from here on the handle refers to this process and
        // no other.
        (Self::from_pid(self.pid).ok()? == *self).then_some(handle)
    }
}

/// Field 22 of `/proc/PID/stat`. The second field is the program's name, in parentheses, and may
/// contain any character.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// A pidfd: it keeps referring to the same process when the id is reused.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    fn open(pid: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Sends a signal. It is no error when the process has already ended.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.0, signal);
    }

    /// Waits until the process has ended. For process 1 of a sandbox: until all its processes have
    /// ended.
    pub async fn ended(self) -> io::Result<()> {
        // Blocks a thread: callers wait only when the end is near.
        tokio::task::spawn_blocking(move || {
            retry_on_intr(|| poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None))?;
            Ok(())
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(start_time(&format!("7 (sh) {fields}")), Some(4711));
        assert_eq!(start_time(&format!("7 (a) b (c) {fields}")), Some(4711));
        assert_eq!(start_time("7 (sh) S 1"), None);
    }

    #[tokio::test]
    async fn a_handle_is_only_given_for_the_very_process() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::from_pid(child.id() as i32).unwrap();
        let handle = identity.open().unwrap();
        let impostor = Identity {
            start_time: identity.start_time + 1,
            ..identity.clone()
        };
        assert!(impostor.open().is_none());

        handle.signal(Signal::KILL);
        handle.ended().await.unwrap();
        child.wait().unwrap();
        assert!(identity.open().is_none());
    }
}
