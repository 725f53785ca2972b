//! Stops all processes of the sandbox for a moment, so that its files stay as they are.
//!
//! Each process gets SIGSTOP, children once their parents are stopped, again and again until there are
//! no new ones, and SIGCONT in the reverse order: a shell with job control is stopped itself while its jobs
//! are, and sees none of them stopped. A process that was stopped before is left alone, and so is one
//! that is being traced, whose tracer would see the signals. The helpers of `sandboxd` go on: a bucket
//! that one serves is read meanwhile. A command that is to be started waits.
//!
//! No stop lasts for longer than its limit. A thread of its own ends it then, whatever its owner is
//! waiting for.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid};

use super::gate::{self, Closed};
use super::scan::{Identity, Process};
use super::snapshot::take_snapshot;

/// The time between two looks at the processes that are to be stopped.
const POLL_INTERVAL: Duration = Duration::from_micros(500);

/// Processes that are stopped, until this is dropped or the limit is reached.
#[derive(Debug)]
pub struct Stop {
    shared: Arc<Shared>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    /// In the order in which they were stopped; `None` once they go on.
    stopped: Mutex<Option<Vec<Process>>>,
    /// Keeps commands from being started.
    closed: Mutex<Option<Closed>>,
    ended: Condvar,
}

impl Stop {
    /// Stops all processes but `spared` and their descendants, for at most `limit`. Returns when all
    /// are stopped, or when the limit is reached. It blocks.
    pub fn all(spared: &[Pid], limit: Duration) -> Self {
        let stop = Self {
            shared: Arc::new(Shared {
                stopped: Mutex::new(Some(Vec::new())),
                closed: Mutex::default(),
                ended: Condvar::new(),
            }),
            start: Instant::now(),
        };
        let shared = Arc::clone(&stop.shared);
        let watch = move || shared.release_after(limit);
        // Without the thread nothing may be stopped.
        match limit.is_zero() || Builder::new().name("stop".into()).spawn(watch).is_err() {
            true => stop.shared.release(),
            false => {
                stop.shared.close();
                stop.shared.stop(spared);
            }
        }
        stop
    }

    /// Whether all are stopped still.
    pub fn holds(&self) -> bool {
        self.shared.stopped().is_some()
    }

    /// The processes that are stopped; none once they go on.
    pub fn processes(&self) -> Vec<Process> {
        self.shared.stopped().clone().unwrap_or_default()
    }

    /// The time since the first process was stopped.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.shared.release();
    }
}

impl Shared {
    fn close(&self) {
        let closed = gate::close();
        let stopped = self.stopped();
        // Not when the limit was reached meanwhile.
        if stopped.is_some() {
            *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(closed);
        }
    }

    fn stop(&self, spared: &[Pid]) {
        let mut seen: HashSet<Identity> = HashSet::new();
        while self.stopped().is_some() {
            let mut new = living(spared);
            new.retain(|(_, process)| seen.insert(process.identity()));
            if new.is_empty() {
                return;
            }
            // A process stops on its way back from the kernel. A shell that still ran would see its
            // jobs stop, so its children come after that.
            for generation in new.chunk_by(|(one, _), (other, _)| one == other) {
                for (_, process) in generation {
                    if is_to_be_stopped(process.pid) && !self.stop_one(process) {
                        return;
                    }
                }
                while !self.are_stopped() {
                    sleep(POLL_INTERVAL);
                }
            }
        }
    }

    /// Returns false when the stop has ended.
    fn stop_one(&self, process: &Process) -> bool {
        let mut stopped = self.stopped();
        let Some(stopped) = stopped.as_mut() else {
            return false;
        };
        match process.signal(Signal::STOP) {
            Ok(()) => stopped.push(*process),
            // Not the sandbox's own user: it may not be signalled.
            Err(e) => tracing::debug!(pid = process.pid.as_raw_pid(), error = %e, "cannot stop a process"),
        }
        true
    }

    /// Whether each of them is stopped, or the stop has ended.
    fn are_stopped(&self) -> bool {
        let stopped = self.stopped().clone().unwrap_or_default();
        stopped.iter().all(|process| is_stopped(process.pid))
    }

    fn release_after(&self, limit: Duration) {
        let stopped = self.stopped();
        let waited = self
            .ended
            .wait_timeout_while(stopped, limit, |stopped| stopped.is_some());
        drop(waited);
        self.release();
    }

    fn release(&self) {
        let Some(stopped) = self.stopped().take() else {
            return;
        };
        self.ended.notify_all();
        drop(self.closed.lock().unwrap_or_else(PoisonError::into_inner).take());
        for process in stopped.iter().rev() {
            if let Err(e) = process.signal(Signal::CONT) {
                tracing::warn!(pid = process.pid.as_raw_pid(), error = %e, "cannot continue a process");
            }
        }
    }

    fn stopped(&self) -> MutexGuard<'_, Option<Vec<Process>>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processes of the sandbox, parents before their children: each with the number of processes
/// above it.
fn living(spared: &[Pid]) -> Vec<(usize, Process)> {
    let processes = take_snapshot(None).descendants(getpid());
    let parents: HashMap<Pid, Option<Pid>> = processes.iter().map(|p| (p.pid, p.parent)).collect();
    // From the process up to `sandboxd`; `None`: below one that is spared.
    let depth = |mut pid: Pid| {
        let mut depth = 0;
        while depth <= parents.len() {
            if spared.contains(&pid) {
                return None;
            }
            match parents.get(&pid) {
                Some(Some(parent)) => pid = *parent,
                _ => break,
            }
            depth += 1;
        }
        Some(depth)
    };
    let living = processes.iter().filter(|process| !process.is_dead());
    let mut living: Vec<_> = living
        .filter_map(|process| Some((depth(process.pid)?, *process)))
        .collect();
    living.sort_by_key(|(depth, _)| *depth);
    living
}

/// Whether a process runs and nobody traces it.
fn is_to_be_stopped(pid: Pid) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())) else {
        return false;
    };
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.map_or("", str::trim)
    };
    !field("State:").starts_with(['T', 't']) && field("TracerPid:") == "0"
}

/// Whether no thread of a process runs.
fn is_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid()));
    threads.into_iter().flatten().flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat"));
        // One that cannot be read is gone.
        stat.map_or(true, |stat| {
            let state = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            state.starts_with(['T', 't', 'X', 'Z'])
        })
    })
}
