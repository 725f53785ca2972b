//! A context: a kernel that is started when it is needed, and the state that clients see.
//!
//! A run locks the kernel, so that the runs of a context queue in the order of their requests. What must
//! not wait for a run, such as an interrupt or the loss of the kernel, is beside the lock.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sandbox_protocol::ErrorBody;
use sandbox_protocol::code::{self, ContextId};
use sandbox_protocol::event::Exit;
use sandbox_protocol::time::to_text;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::images::Images;
use super::kernel::{Kernel, how_it_ended};
use super::known_kernels::KnownKernels;
use super::plan::Plan;
use super::prewarm::Prewarmed;
use super::start;
use crate::Error;
use crate::exec::Commands;
use crate::exec::process::Process;
use crate::quota::{Permit, Quota};
use crate::to_its_end::to_its_end;

/// A context.
pub struct Context {
    /// Its id.
    pub id: ContextId,
    /// Identifies the request that created it, if that named the id.
    pub fingerprint: Option<u64>,
    /// Whether it is the default one of its language.
    pub is_default: bool,
    /// Its language, as its request names it.
    pub language: String,
    /// The plan of its kernel.
    pub plan: Plan,
    /// The images of its results.
    pub images: Images,
    /// Limits its runs that wait.
    pub queue: Quota,
    /// Changes with each interrupt.
    pub interrupts: watch::Sender<u64>,
    /// The kernel, once it was started.
    kernel: Arc<Mutex<Option<Kernel>>>,
    state: StdMutex<State>,
    shared: Shared,
    _permit: Permit,
}

/// The parts that the contexts of a sandbox share.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// The facts known about the kernels.
    pub known_kernels: Arc<KnownKernels>,
    /// The kernels that wait for a context.
    pub prewarmed: Arc<Prewarmed>,
}

#[derive(Debug)]
struct State {
    created: SystemTime,
    used: SystemTime,
    execution_count: u64,
    process: Option<Arc<Process>>,
    lost: Option<String>,
    is_deleted: bool,
    /// The number of out-of-memory kills of the sandbox when the kernel was started.
    memory_kills: Option<u64>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The parts of a new context that its request decides.
pub struct New {
    /// Its id.
    pub id: ContextId,
    /// Identifies the request, if it names the id.
    pub fingerprint: Option<u64>,
    /// Whether it is the default one of its language.
    pub is_default: bool,
    /// Its language, as its request names it.
    pub language: String,
    /// The plan of its kernel.
    pub plan: Plan,
}

impl Context {
    /// A context without a kernel.
    pub fn new(new: New, images: Images, queue: Quota, shared: Shared, permit: Permit) -> Self {
        let now = SystemTime::now();
        let New {
            id,
            fingerprint,
            is_default,
            language,
            plan,
        } = new;
        Self {
            id,
            fingerprint,
            is_default,
            language,
            plan,
            images,
            queue,
            interrupts: watch::Sender::new(0),
            kernel: Arc::default(),
            state: StdMutex::new(State {
                created: now,
                used: now,
                execution_count: 0,
                process: None,
                lost: None,
                is_deleted: false,
                memory_kills: None,
            }),
            shared,
            _permit: permit,
        }
    }

    /// Waits for its turn, and starts the kernel if it was not started. A start that has begun goes on
    /// when this is dropped. Errors: 410 when the kernel is lost, 502 when it cannot be started.
    pub async fn kernel(
        self: &Arc<Self>,
        commands: &Arc<Commands>,
    ) -> Result<OwnedMutexGuard<Option<Kernel>>, Error> {
        let kernel = Arc::clone(&self.kernel).lock_owned().await;
        self.check()?;
        match &*kernel {
            Some(_) => Ok(kernel),
            None => self.start_into(kernel, commands).await,
        }
    }

    async fn start_into(
        self: &Arc<Self>,
        mut kernel: OwnedMutexGuard<Option<Kernel>>,
        commands: &Arc<Commands>,
    ) -> Result<OwnedMutexGuard<Option<Kernel>>, Error> {
        let (context, commands) = (Arc::clone(self), Arc::clone(commands));
        to_its_end(panicked, async move {
            *kernel = Some(context.start(&commands).await?);
            Ok(kernel)
        })
        .await
    }

    async fn start(&self, commands: &Arc<Commands>) -> Result<Kernel, Error> {
        self.state().memory_kills = memory_kills();
        let started = |process: &Arc<Process>| self.state().process = Some(Arc::clone(process));
        let kernel = match self.shared.prewarmed.take(&self.plan, commands) {
            Some(kernel) => {
                started(&kernel.process);
                Ok(kernel)
            }
            None => start::start(commands, &self.plan, &self.shared.known_kernels, started).await,
        };
        if kernel.is_err() {
            // The next run tries again.
            self.state().process = None;
        }
        // It was deleted meanwhile.
        if let (Ok(kernel), Some(_)) = (&kernel, &self.state().lost) {
            let process = Arc::clone(&kernel.process);
            tokio::spawn(async move { process.end(Duration::ZERO).await });
        }
        kernel
    }

    /// Error: 410 when the kernel is lost. The next request then replaces a default context.
    pub fn check(&self) -> Result<(), Error> {
        let mut state = self.state();
        let end = state.process.as_ref().and_then(|process| process.log.end());
        if let Some(end) = end
            && state.lost.is_none()
        {
            state.lost = Some(reason(&end.result, state.memory_kills));
        }
        match &state.lost {
            Some(reason) => Err(lost(&self.id, reason)),
            None => Ok(()),
        }
    }

    /// The kernel has ended, or is being ended: later runs get this reason. The first reason stays.
    pub fn set_lost(&self, reason: &str) -> Error {
        let mut state = self.state();
        let reason = state.lost.get_or_insert_with(|| reason.to_owned());
        lost(&self.id, reason)
    }

    /// The kernel has ended with this result.
    pub fn ended(&self, result: &Result<Exit, ErrorBody>) -> Error {
        let memory_kills = self.state().memory_kills;
        self.set_lost(&reason(result, memory_kills))
    }

    /// Ends the kernel, which loses its variables for this reason. Returns once it has ended.
    pub async fn end(&self, reason: &str) {
        self.set_lost(reason);
        let process = self.state().process.clone();
        if let Some(process) = process {
            process.end(Duration::ZERO).await;
        }
    }

    /// Ends the kernel, which is not started again. Returns once it has ended.
    pub async fn delete(&self) {
        self.state().is_deleted = true;
        self.end("it was deleted").await;
    }

    /// Ends the kernel and starts another. Errors: 410 after a deletion, and those of the start.
    pub async fn restart(self: &Arc<Self>, commands: &Arc<Commands>) -> Result<(), Error> {
        self.end("it was restarted").await;
        let mut kernel = Arc::clone(&self.kernel).lock_owned().await;
        *kernel = None;
        {
            let mut state = self.state();
            if state.is_deleted {
                return Err(lost(&self.id, "it was deleted"));
            }
            (state.lost, state.process, state.execution_count) = (None, None, 0);
        }
        self.start_into(kernel, commands).await.map(drop)
    }

    /// A run has begun or ended. `execution_count` is its number, if the kernel has counted it.
    pub fn used(&self, execution_count: Option<u64>) {
        let mut state = self.state();
        state.used = SystemTime::now();
        if let Some(count) = execution_count {
            state.execution_count = count;
        }
    }

    /// The context for a client. `workspace` is the directory of a context without another one.
    pub fn describe(&self, workspace: &str) -> code::Context {
        let state = self.state();
        let end = state.process.as_ref().and_then(|process| process.log.end());
        let ended = end.map(|end| reason(&end.result, state.memory_kills));
        code::Context {
            id: self.id.to_string(),
            language: self.language.clone(),
            cwd: match &self.plan.cwd {
                Some(cwd) => cwd.as_str().to_owned(),
                None => workspace.to_owned(),
            },
            created_at: to_text(state.created),
            last_used_at: to_text(state.used),
            execution_count: state.execution_count,
            process_id: state.process.as_ref().map(|process| process.id.to_string()),
            lost: state.lost.clone().or(ended),
        }
    }

    fn state(&self) -> StdMutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of work on a context that panics.
pub fn panicked(text: String) -> Error {
    Error::Exec(io::Error::other(text))
}

fn lost(id: &ContextId, reason: &str) -> Error {
    Error::ContextLost(format!("the variables of the context {id} are lost: {reason}"))
}

/// The reason why a kernel has ended. `before` is the number of out-of-memory kills at its start.
fn reason(result: &Result<Exit, ErrorBody>, before: Option<u64>) -> String {
    let is_killed = matches!(result, Ok(Exit { signal: Some(signal), .. }) if signal == "SIGKILL");
    let reason = how_it_ended(result);
    if !is_killed {
        return reason;
    }
    match (before, memory_kills()) {
        (Some(before), Some(now)) if now > before => format!("{reason}, because the memory was used up"),
        (Some(_), Some(_)) => reason,
        _ => format!("{reason}, perhaps because the memory was used up"),
    }
}

/// The number of processes of the sandbox that the kernel has ended because the memory was used up, as
/// far as it tells.
fn memory_kills() -> Option<u64> {
    let events = std::fs::read_to_string("/sys/fs/cgroup/memory.events").ok()?;
    let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}
