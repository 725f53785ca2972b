//! Every sandbox of this machine, by id.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Uri;
use sandbox_protocol::local::{Start, Status};
use sandbox_protocol::{SandboxId, sandboxd};
use tokio::time::timeout;

use crate::Error;
use crate::boot::Boot;
use crate::bubblewrap::{Network, can_mount};
use crate::bucket_proxy::BucketProxy;
use crate::launch::{Launched, Programs, launch};
use crate::phase::{DesiredState, Phase};
use crate::state_dir::StateDir;
use crate::supervision::Supervision;

/// The time that killed sandboxes have to end when this process ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The sandboxes, with their programs and directories.
#[derive(Debug)]
pub struct Runtime {
    programs: Programs,
    state: StateDir,
    options: Options,
    boots: Mutex<Boots>,
}

/// The options of a runtime.
#[derive(Debug, Default)]
pub struct Options {
    /// The maximum of sandboxes that run at a time.
    pub max_sandboxes: Option<usize>,
    /// The origin of the Worker, which serves buckets to sandboxes.
    pub worker: Option<Uri>,
}

#[derive(Debug, Default)]
struct Boots {
    /// The latest boot of each sandbox, until the sandbox is destroyed.
    latest: HashMap<SandboxId, Arc<Boot>>,
    closed: bool,
}

impl Runtime {
    /// A runtime without sandboxes.
    pub fn new(programs: Programs, state: StateDir, options: Options) -> Arc<Self> {
        Arc::new(Self {
            programs,
            state,
            options,
            boots: Mutex::default(),
        })
    }

    /// Starts the sandbox, unless it runs, and waits until it answers. Concurrent starts share the
    /// boot of the first one. A sandbox that is being stopped is started again after its end, with
    /// an empty disk.
    ///
    /// Errors: [`Error::Boot`], [`Error::Full`], [`Error::ShuttingDown`].
    pub async fn start(self: &Arc<Self>, id: &SandboxId, start: Start) -> Result<Status, Error> {
        loop {
            let boot = self.latest_or_new(id, &start)?;
            match boot.settled().await {
                Phase::Failed(reason) => return Err(Error::Boot(reason)),
                // The boot of this start, not an earlier one that was being stopped.
                Phase::Ended(reason) if boot.id() == start.boot_id => return Err(Error::Boot(reason)),
                Phase::Ended(_) => {}
                phase => return Ok(phase.status()),
            }
        }
    }

    /// The status of the sandbox.
    pub fn status(&self, id: &SandboxId) -> Status {
        self.latest(id)
            .map(|boot| boot.phase().status())
            .unwrap_or_default()
    }

    /// Waits until the boot `boot_id` of the sandbox has ended, if it is the latest, and returns
    /// the status then.
    pub async fn exit(&self, id: &SandboxId, boot_id: &str) -> Status {
        match self.latest(id) {
            Some(boot) if boot.id() == boot_id => boot.ended().await.status(),
            _ => self.status(id),
        }
    }

    /// Sends SIGTERM to `sandboxd`, if it runs, and SIGKILL ten seconds later if it still runs.
    pub fn stop(&self, id: &SandboxId) {
        if let Some(boot) = self.latest(id) {
            boot.set_desired(DesiredState::Stop);
        }
    }

    /// Kills the sandbox and forgets it: no process, no file, no record of it remains.
    pub async fn destroy(&self, id: &SandboxId) {
        let Some(boot) = self.latest(id) else {
            return;
        };
        boot.set_desired(DesiredState::Kill);
        boot.ended().await;
        let mut boots = self.boots();
        if boots
            .latest
            .get(id)
            .is_some_and(|latest| Arc::ptr_eq(latest, &boot))
        {
            boots.latest.remove(id);
        }
    }

    /// Kills every sandbox, prevents further starts, and removes the files of all.
    pub async fn close(&self) {
        let boots: Vec<_> = {
            let mut boots = self.boots();
            boots.closed = true;
            boots.latest.values().cloned().collect()
        };
        for boot in &boots {
            boot.set_desired(DesiredState::Kill);
        }
        let all_ended = async {
            for boot in &boots {
                boot.ended().await;
            }
        };
        if timeout(CLOSE_TIMEOUT, all_ended).await.is_err() {
            tracing::error!("a sandbox does not end");
        }
        self.state.clear().await;
    }

    fn boots(&self) -> MutexGuard<'_, Boots> {
        // No panic under this lock leaves the map inconsistent.
        self.boots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latest(&self, id: &SandboxId) -> Option<Arc<Boot>> {
        self.boots().latest.get(id).cloned()
    }

    fn latest_or_new(self: &Arc<Self>, id: &SandboxId, start: &Start) -> Result<Arc<Boot>, Error> {
        let mut boots = self.boots();
        if boots.closed {
            return Err(Error::ShuttingDown);
        }
        if let Some(boot) = boots.latest.get(id).filter(|boot| !boot.phase().has_ended()) {
            return Ok(boot.clone());
        }
        let running = boots
            .latest
            .values()
            .filter(|boot| !boot.phase().has_ended())
            .count();
        if let Some(max) = self.options.max_sandboxes.filter(|max| running >= *max) {
            return Err(Error::Full(max));
        }
        let (boot, supervision) = Boot::new(start.boot_id.clone());
        let boot = Arc::new(boot);
        boots.latest.insert(id.clone(), boot.clone());
        tokio::spawn(self.clone().run(id.clone(), start.clone(), supervision));
        Ok(boot)
    }

    /// Runs a boot from its start to its end.
    async fn run(self: Arc<Self>, id: SandboxId, start: Start, mut supervision: Supervision) {
        let phase = self.follow(&id, start, &mut supervision).await;
        let phase = phase.unwrap_or_else(|e| Phase::Failed(e.to_string()));
        self.state.discard(&id);
        if let Some(reason) = phase.status().last_exit {
            tracing::info!(sandbox = %id, "ended: {reason}");
        }
        supervision.finish(phase);
    }

    async fn follow(&self, id: &SandboxId, start: Start, supervision: &mut Supervision) -> io::Result<Phase> {
        let directory = self.state.create(id)?;
        let mut env = start.env;
        env.insert(sandboxd::BOOT_ID_ENV.to_owned(), start.boot_id);
        let network = if start.offline {
            Network::Loopback
        } else {
            self.programs.network()
        };
        let launched = launch(&self.programs, &directory, env, network).await?;
        // Until the end: what is written last reaches the bucket.
        let proxy = self.bucket_proxy(id, network, &launched);
        let s3_origin = proxy.as_ref().map(BucketProxy::origin);
        supervision
            .follow(launched, s3_origin, |process| self.state.record(id, process))
            .await
    }

    /// The way to buckets that the Worker serves, where sandboxes can mount any.
    fn bucket_proxy(&self, id: &SandboxId, network: Network, launched: &Launched) -> Option<BucketProxy> {
        let worker = self.options.worker.clone()?;
        if !can_mount() {
            return None;
        }
        let proxy = match network {
            Network::Machine => BucketProxy::on_this_machine(worker, id),
            Network::Own | Network::Loopback => BucketProxy::in_namespace(launched.sandboxd?, worker, id),
        };
        let warn = |e: &io::Error| {
            tracing::warn!(sandbox = %id, "it cannot mount buckets that the Worker serves: {e}");
        };
        proxy.inspect_err(warn).ok()
    }
}
