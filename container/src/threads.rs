//! Threads for calls that a file system can block without limit.
//!
//! A path may lead into a bucket whose store does not answer. The kernel then holds the calling
//! thread, and only the answer frees it. Such a call must run neither on a thread of the runtime,
//! which serves every connection, nor on the blocking threads that everything else shares: those
//! are limited, and a few hundred such calls would use them up.
//!
//! While calls return, a few threads suffice, as many as the runtime has. When none has returned
//! for [`STALL_TIMEOUT`] although jobs wait, their number is doubled: a file system that does not
//! answer delays other jobs by milliseconds. A job holds a permit until it returns (of a command, a
//! session, a terminal, a mount), and these permits bound the threads. Besides, each group has a
//! limit.
//!
//! A child belongs to the thread that forked it: `PR_SET_PDEATHSIG`, by which `bwrap
//! --die-with-parent` and others ask to end with their parent, is about that thread. So a thread
//! ends only when it has no child.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, available_parallelism, sleep};
use std::time::{Duration, Instant};
use std::{io, ptr};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Threads that inspect paths which clients and commands choose, close files there, and start
/// programs.
pub static PATHS: Threads = Threads::new("paths", MAX_THREADS);

/// Threads that end processes: a command's end must not wait for a path.
pub static PROCESSES: Threads = Threads::new("processes", MAX_THREADS);

/// The maximum number of threads of a group: more than all permits together, as no quota limits the
/// files that wait to be closed.
const MAX_THREADS: usize = 4096;

/// The time after which a group has stalled: jobs wait, and no thread has begun one.
const STALL_TIMEOUT: Duration = Duration::from_millis(5);

/// The timeout of a call of a file system for a request that has no timeout of its own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The time without a job after which a thread ends, if there are others.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The stack size of a thread, in bytes. There may be a thousand threads.
const STACK_SIZE: usize = 512 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// Tells a job whether its caller has stopped waiting for the result.
pub type IsCancelled<'a> = &'a dyn Fn() -> bool;

/// A group of threads and the jobs that wait for them.
#[derive(Debug)]
pub struct Threads {
    name: &'static str,
    max: usize,
    queue: Mutex<Queue>,
    pushed: Condvar,
    /// Tells the monitor that jobs wait.
    waiting: Condvar,
}

struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    last_begun: Option<Instant>,
    is_monitored: bool,
}

impl Threads {
    const fn new(name: &'static str, max: usize) -> Self {
        Self {
            name,
            max,
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                threads: 0,
                idle: 0,
                last_begun: None,
                is_monitored: false,
            }),
            pushed: Condvar::new(),
            waiting: Condvar::new(),
        }
    }

    /// Runs `job`, which may block and may use the runtime of the caller. When the future is
    /// dropped, a job that has not begun is dropped too; the result of one that has begun is
    /// dropped on its thread. Fails when the job panicked.
    pub async fn run<T: Send + 'static>(
        &'static self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.run_cancellable(|_| job()).await
    }

    /// As [`run`](Self::run). The job can ask whether the future was dropped meanwhile.
    pub async fn run_cancellable<T: Send + 'static>(
        &'static self,
        job: impl FnOnce(IsCancelled<'_>) -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let runtime = Handle::current();
        self.push(Box::new(move || {
            let _context = runtime.enter();
            if !done.is_closed() {
                let result = job(&|| done.is_closed());
                // Fails when the caller no longer waits.
                let _ = done.send(result);
            }
        }));
        result.await.map_err(io::Error::other)
    }

    /// As [`run`](Self::run), but fails with [`io::ErrorKind::TimedOut`] after [`ANSWER_TIMEOUT`].
    pub async fn run_with_timeout<T: Send + 'static>(
        &'static self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.run_cancellable_with_timeout(|_| job()).await
    }

    /// As [`run_with_timeout`](Self::run_with_timeout). The job can ask whether the future was
    /// dropped meanwhile.
    pub async fn run_cancellable_with_timeout<T: Send + 'static>(
        &'static self,
        job: impl FnOnce(IsCancelled<'_>) -> T + Send + 'static,
    ) -> io::Result<T> {
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "the file system does not answer");
        timeout(ANSWER_TIMEOUT, self.run_cancellable(job))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    /// Queues `job` and does not wait for it.
    pub fn run_detached(&'static self, job: impl FnOnce() + Send + 'static) {
        self.push(Box::new(job));
    }

    fn push(&'static self, job: Job) {
        let mut queue = self.queue();
        queue.jobs.push_back(job);
        if queue.jobs.len() <= queue.idle {
            return self.pushed.notify_one();
        }
        if queue.threads < default_threads() {
            self.start(&mut queue, 1);
        }
        if queue.is_monitored {
            self.waiting.notify_one();
        } else {
            let monitor = Builder::new().name(self.name.into()).stack_size(STACK_SIZE);
            // The next job tries again.
            queue.is_monitored = monitor.spawn(|| self.monitor()).is_ok();
        }
    }

    /// Doubles the threads whenever the group stalls. Ends when no job has waited for
    /// [`IDLE_TIMEOUT`].
    fn monitor(&'static self) {
        let mut queue = self.queue();
        loop {
            if queue.jobs.is_empty() {
                let waited = self
                    .waiting
                    .wait_timeout_while(queue, IDLE_TIMEOUT, |queue| queue.jobs.is_empty());
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                if queue.jobs.is_empty() {
                    queue.is_monitored = false;
                    return;
                }
            }
            drop(queue);
            sleep(STALL_TIMEOUT);
            queue = self.queue();
            let is_stalled = queue
                .last_begun
                .is_none_or(|begun| begun.elapsed() >= STALL_TIMEOUT);
            if is_stalled && !queue.jobs.is_empty() {
                queue.last_begun = Some(Instant::now());
                let more = queue.jobs.len().min(queue.threads.max(1));
                let more = more.min(self.max.saturating_sub(queue.threads));
                self.start(&mut queue, more);
            }
        }
    }

    fn start(&'static self, queue: &mut Queue, threads: usize) {
        for _ in 0..threads {
            let thread = Builder::new().name(self.name.into()).stack_size(STACK_SIZE);
            match thread.spawn(|| self.serve()) {
                Ok(_) => queue.threads += 1,
                // The monitor tries again.
                Err(e) => return tracing::warn!(error = %e, "cannot start a thread"),
            }
        }
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            // The panic hook reports it, and the caller gets an error.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job; `None` when this thread is to end.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                queue.last_begun = Some(Instant::now());
                return Some(job);
            }
            queue.idle += 1;
            let waited = self.pushed.wait_timeout(queue, IDLE_TIMEOUT);
            let (woken, wait) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            queue.idle -= 1;
            if wait.timed_out()
                && queue.jobs.is_empty()
                && queue.threads > default_threads()
                && !has_children()
            {
                queue.threads -= 1;
                return None;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { threads, idle, .. } = self;
        f.debug_struct("Queue")
            .field("threads", threads)
            .field("idle", idle)
            .finish_non_exhaustive()
    }
}

/// The number of threads of the runtime, and of each group that has not stalled. The other cores
/// are for commands, not for `sandboxd`.
pub fn default_threads() -> usize {
    available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

/// Whether the calling thread has a child.
fn has_children() -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WNOTHREAD;
    // SAFETY: with a null pointer for the result the kernel writes nothing, and it collects
    // nothing.
    let found = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_ALL,
            0,
            ptr::null_mut::<libc::siginfo_t>(),
            options,
            0,
        )
    };
    found == 0
}

#[cfg(test)]
mod tests;
