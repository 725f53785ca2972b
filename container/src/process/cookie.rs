//! Finds the processes that have a cookie in their environment: a variable, by which a command knows
//! its children. Some environments may be unreadable.
//!
//! The kernel reads an environment under the lock of the process's address space. A process that
//! hangs in a file system can hold that lock until the file system answers, and SIGKILL does not
//! free it. So a thread reads for the caller. When it waits for too long, it is abandoned with the
//! process that it waits for, and another thread goes on with the next one. Until an abandoned
//! thread returns, no other thread reads that process: it costs one thread, and one delay.
//!
//! The cookie of such a process is not seen. It belongs to a tree by its process group and its
//! parents only.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use rustix::process::{Gid, Pid, Uid};
use rustix::thread::{gettid, set_thread_res_gid, set_thread_res_uid};

use super::scan::{Identity, Process};
use crate::user::Ids;

/// The interval at which a reader is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(4);

/// The time that a reader may sleep in one process. It is halved after each reader that was abandoned,
/// down to a [`POLL_INTERVAL`]: hundreds of processes that hang delay only the first search, by
/// seconds.
const STALL_TIMEOUT: Duration = Duration::from_millis(64);

/// The number of abandoned readers from which on no further one is started.
const MAX_ABANDONED: usize = 1024;

/// The stack of a reader, in bytes.
const STACK_SIZE: usize = 256 * 1024;

/// The processes in which an abandoned reader waits.
static UNREADABLE: LazyLock<Mutex<HashSet<Identity>>> = LazyLock::new(Mutex::default);

/// A search. Processes are named by their indices.
struct Search {
    processes: Arc<[Process]>,
    ids: Option<Ids>,
    progress: Mutex<Progress>,
    done: Condvar,
}

#[derive(Default)]
struct Progress {
    found: HashMap<String, Vec<usize>>,
    /// The last of them is read next.
    unread: Vec<usize>,
    /// The processes that only the user with `ids` may read.
    hidden: Vec<usize>,
    /// Whether the hidden ones are being read now: they are in `unread`.
    reads_hidden: bool,
    /// The active reader, by its number and its thread, and the process that it reads.
    reader: u32,
    thread: Option<Pid>,
    reading: Option<usize>,
    is_done: bool,
}

/// Adds to each cookie `NAME=value` in `found` the indices of the `processes` that have it. A process
/// that `sandboxd` may not read is read as the user with `ids`. Blocks for some
/// milliseconds for a thousand processes.
pub fn find(
    processes: &Arc<[Process]>,
    found: HashMap<String, Vec<usize>>,
    ids: Option<Ids>,
) -> HashMap<String, Vec<usize>> {
    let search = Arc::new(Search {
        processes: Arc::clone(processes),
        ids,
        progress: Mutex::new(Progress {
            found,
            unread: (0..processes.len()).rev().collect(),
            ..Progress::default()
        }),
        done: Condvar::new(),
    });
    if let Err(e) = search.run() {
        tracing::warn!(error = %e, "cannot look for all processes that left their group");
    }
    let mut found = std::mem::take(&mut lock(&search.progress).found);
    // The processes of the user came last.
    found.values_mut().for_each(|found| found.sort_unstable());
    found
}

impl Search {
    /// Returns when every readable process was read. Error: no further reader can be started.
    fn run(self: &Arc<Self>) -> io::Result<()> {
        let mut stall = STALL_TIMEOUT;
        loop {
            let reader = lock(&self.progress).reader;
            if lock(&UNREADABLE).len() >= MAX_ABANDONED {
                return Err(io::Error::other("too many processes cannot be read"));
            }
            let search = Arc::clone(self);
            Builder::new()
                .name("environ".into())
                .stack_size(STACK_SIZE)
                .spawn(move || search.read(reader))?;
            if self.wait_or_abandon(stall) {
                return Ok(());
            }
            stall = (stall / 2).max(POLL_INTERVAL);
        }
    }

    /// Waits until the reader has finished, and returns true. False: it has slept for `stall` in one
    /// process, and is abandoned.
    fn wait_or_abandon(&self, stall: Duration) -> bool {
        let mut slept = (None, Duration::ZERO);
        let mut progress = lock(&self.progress);
        loop {
            let waited = self
                .done
                .wait_timeout_while(progress, POLL_INTERVAL, |progress| !progress.is_done);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
            if progress.is_done {
                return true;
            }
            let (reading, thread) = (progress.reading, progress.thread);
            // Without the lock, for which the reader itself may wait.
            drop(progress);
            let is_asleep = thread.is_some_and(is_asleep);
            progress = lock(&self.progress);
            slept = match slept {
                (before, time) if is_asleep && before == reading => (before, time + POLL_INTERVAL),
                _ => (reading, Duration::ZERO),
            };
            if slept.1 >= stall && progress.reading == reading && !progress.is_done {
                progress.reader += 1;
                progress.thread = None;
                if let Some(process) = reading.and_then(|index| self.processes.get(index)) {
                    lock(&UNREADABLE).insert(process.identity());
                    tracing::warn!(
                        pid = process.pid.as_raw_pid(),
                        "a process hangs and cannot be read"
                    );
                }
                return false;
            }
        }
    }

    /// Runs the reader with this number. It may end as another user, and so its thread is not used
    /// again.
    fn read(&self, reader: u32) {
        let mut progress = lock(&self.progress);
        if progress.reader == reader {
            progress.thread = Some(gettid());
        }
        let mut is_user = false;
        while progress.reader == reader {
            progress.reading = progress.unread.pop();
            let Some(process) = progress.reading.and_then(|index| self.processes.get(index)) else {
                if !progress.reads_hidden && self.ids.is_some() && !progress.hidden.is_empty() {
                    progress.reads_hidden = true;
                    progress.unread = std::mem::take(&mut progress.hidden);
                    progress.unread.reverse();
                    continue;
                }
                progress.is_done = true;
                return self.done.notify_one();
            };
            if let Some(ids) = self.ids.as_ref().filter(|_| progress.reads_hidden && !is_user) {
                if let Err(e) = become_user(ids) {
                    tracing::warn!(error = %e, "cannot look for processes that left their group");
                    progress.is_done = true;
                    return self.done.notify_one();
                }
                is_user = true;
            }
            let is_unreadable = || lock(&UNREADABLE).contains(&process.identity());
            if is_unreadable() {
                continue;
            }
            drop(progress);
            let environment = process.environment();
            progress = lock(&self.progress);
            if progress.reader != reader {
                lock(&UNREADABLE).remove(&process.identity());
                return;
            }
            progress.add(environment);
        }
    }
}

impl Progress {
    /// Enters the process that was read.
    fn add(&mut self, environment: io::Result<Vec<u8>>) {
        let Some(index) = self.reading else { return };
        let Ok(environment) = environment else {
            return self.hidden.push(index);
        };
        for variable in environment.split(|byte| *byte == 0) {
            if let Some(found) = str::from_utf8(variable).ok().and_then(|v| self.found.get_mut(v)) {
                // Once, even if the variable occurs twice.
                if found.last() != Some(&index) {
                    found.push(index);
                }
            }
        }
    }
}

/// Gives the calling thread the effective ids of the user that commands run as. A container's root
/// usually lacks the right to inspect the processes of other users (CAP_SYS_PTRACE); their owner
/// has it.
fn become_user(ids: &Ids) -> io::Result<()> {
    let keep = (None::<Uid>, None::<Gid>);
    set_thread_res_gid(keep.1, ids.gid, keep.1)?;
    Ok(set_thread_res_uid(keep.0, ids.uid, keep.0)?)
}

/// Calls `read` with the effective ids of the user that commands run as, on a thread of its own.
/// Without ids, on the calling thread. Error: no thread can be started, or it cannot switch.
pub fn read_as_user<T: Send>(ids: Option<&Ids>, read: impl FnOnce() -> T + Send) -> io::Result<T> {
    let Some(ids) = ids else {
        return Ok(read());
    };
    std::thread::scope(|scope| {
        let reader = Builder::new().stack_size(STACK_SIZE).spawn_scoped(scope, || {
            become_user(ids)?;
            Ok(read())
        })?;
        reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reader panicked")))
    })
}

/// Whether `thread`, of this process, sleeps in the kernel, interruptibly or not.
fn is_asleep(thread: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_pid()));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, fields)| !fields.starts_with('R'))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
