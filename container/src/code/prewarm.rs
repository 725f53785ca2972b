//! Kernels that are started before a context needs them (`CODE_PREWARM`).
//!
//! One kernel for each of these languages waits. A context takes it if it has no directory and no
//! variables of its own, and another is started. A kernel that has other variables than a command would
//! get now is ended: the settings of the sandbox have changed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::context::Shared;
use super::kernel::Kernel;
use super::known_kernels::KnownKernels;
use super::plan::Plan;
use super::start;
use super::table::Contexts;
use crate::Error;
use crate::environment::Variables;
use crate::exec::Commands;

/// The time until a kernel that could not be started is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The kernels that wait, by their names.
#[derive(Default)]
pub struct Prewarmed {
    waiting: Mutex<HashMap<String, Waiting>>,
    taken: Notify,
}

struct Waiting {
    kernel: Kernel,
    variables: Arc<Variables>,
}

impl Waiting {
    fn is_usable(&self, variables: &Variables) -> bool {
        *self.variables == *variables && self.kernel.process.log.end().is_none()
    }

    async fn end(self) {
        self.kernel.process.end(Duration::ZERO).await;
    }
}

impl fmt::Debug for Prewarmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prewarmed").finish_non_exhaustive()
    }
}

impl Prewarmed {
    /// The kernel that waits for such a context, if one does.
    pub fn take(&self, plan: &Plan, commands: &Commands) -> Option<Kernel> {
        if !plan.is_default() {
            return None;
        }
        let waiting = self.waiting().remove(&plan.spec.name)?;
        self.taken.notify_one();
        if waiting.is_usable(&commands.config().user.env.current()) {
            return Some(waiting.kernel);
        }
        tokio::spawn(waiting.end());
        None
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the kernel of this plan, unless a usable one waits.
    async fn fill(
        &self,
        plan: Plan,
        commands: &Arc<Commands>,
        known_kernels: &KnownKernels,
    ) -> Result<(), Error> {
        let variables = commands.config().user.env.current();
        let name = plan.spec.name.clone();
        let is_usable = |waiting: &Waiting| waiting.is_usable(&variables);
        if self.waiting().get(&name).is_some_and(is_usable) {
            return Ok(());
        }
        let old = self.waiting().remove(&name);
        if let Some(old) = old {
            old.end().await;
        }
        let kernel = start::start(commands, &plan, known_kernels, |_| ()).await?;
        self.waiting().insert(name, Waiting { kernel, variables });
        Ok(())
    }
}

/// Keeps a kernel ready for each language of the configuration. Returns when there are none, and never
/// otherwise.
pub async fn keep_ready(contexts: Arc<Contexts>) {
    let commands = &contexts.commands;
    let languages = &commands.config().code_prewarm;
    let mut settings = commands.config().user.env.subscribe();
    while !languages.is_empty() {
        let mut is_ready = true;
        for language in languages {
            if let Err(e) = fill(&contexts, language).await {
                tracing::warn!(error = %e, language, "a kernel could not be started in advance");
                is_ready = false;
            }
        }
        let retry = async {
            match is_ready {
                true => std::future::pending().await,
                false => tokio::time::sleep(RETRY_INTERVAL).await,
            }
        };
        tokio::select! {
            () = contexts.shared.prewarmed.taken.notified() => {}
            // Cannot fail: the configuration has the sender.
            _ = settings.changed() => {}
            () = retry => {}
        }
    }
}

async fn fill(contexts: &Contexts, language: &str) -> Result<(), Error> {
    let plan = Plan::new(contexts.spec(language).await?);
    let Shared {
        prewarmed,
        known_kernels,
    } = &contexts.shared;
    prewarmed.fill(plan, &contexts.commands, known_kernels).await
}
