//! Every sandbox of this machine, by id.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_protocol::local::{Start, Status};
use sandbox_protocol::{SandboxId, sandboxd};

use crate::Error;
use crate::boot::{Boot, Phase, Wish};
use crate::launch::{Programs, launch};
use crate::state_dir::StateDir;
use crate::supervision::Supervision;

/// The sandboxes, and what they are made with.
#[derive(Debug)]
pub struct Runtime {
    programs: Programs,
    state: StateDir,
    max_sandboxes: Option<usize>,
    boots: Mutex<Boots>,
}

#[derive(Debug, Default)]
struct Boots {
    /// The latest boot of each sandbox, until the sandbox is destroyed.
    latest: HashMap<SandboxId, Arc<Boot>>,
    closed: bool,
}

impl Runtime {
    /// A runtime without sandboxes, in which `max_sandboxes` may run at a time.
    pub fn new(programs: Programs, state: StateDir, max_sandboxes: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            programs,
            state,
            max_sandboxes,
            boots: Mutex::default(),
        })
    }

    /// Starts the sandbox, unless it runs, and waits until it answers. Of many starts at once, the first decides the
    /// boot and all get it. A sandbox that is about to end is waited for and started again, with an empty disk.
    ///
    /// Errors: [`Error::Boot`], [`Error::Full`], [`Error::ShuttingDown`].
    pub async fn start(self: &Arc<Self>, id: &SandboxId, start: Start) -> Result<Status, Error> {
        loop {
            let boot = self.latest_or_new(id, &start)?;
            match boot.settled().await {
                Phase::Failed(why) => return Err(Error::Boot(why)),
                // Not an earlier boot that was about to end, but the very one that was wanted.
                Phase::Ended(words) if boot.id() == start.boot_id => return Err(Error::Boot(words)),
                Phase::Ended(_) => {}
                phase => return Ok(phase.status()),
            }
        }
    }

    /// What is known of the sandbox.
    pub fn status(&self, id: &SandboxId) -> Status {
        self.latest(id)
            .map(|boot| boot.phase().status())
            .unwrap_or_default()
    }

    /// Waits until the boot `boot_id` of the sandbox has ended, if it is the latest, and says what is known then.
    pub async fn exit(&self, id: &SandboxId, boot_id: &str) -> Status {
        match self.latest(id) {
            Some(boot) if boot.id() == boot_id => boot.over().await.status(),
            _ => self.status(id),
        }
    }

    /// Has SIGTERM sent to `sandboxd`, if it runs, and SIGKILL ten seconds later if it still does.
    pub fn stop(&self, id: &SandboxId) {
        if let Some(boot) = self.latest(id) {
            boot.want(Wish::Stop);
        }
    }

    /// Ends the sandbox and forgets it: no process, no file, no record of it is left.
    pub async fn destroy(&self, id: &SandboxId) {
        let Some(boot) = self.latest(id) else {
            return;
        };
        boot.want(Wish::Kill);
        boot.over().await;
        let mut boots = self.boots();
        if boots
            .latest
            .get(id)
            .is_some_and(|latest| Arc::ptr_eq(latest, &boot))
        {
            boots.latest.remove(id);
        }
    }

    /// Ends every sandbox, lets none start any more, and removes what they kept on disk.
    pub async fn close(&self) {
        let boots: Vec<_> = {
            let mut boots = self.boots();
            boots.closed = true;
            boots.latest.values().cloned().collect()
        };
        for boot in &boots {
            boot.want(Wish::Kill);
        }
        for boot in &boots {
            boot.over().await;
        }
        self.state.clear().await;
    }

    fn boots(&self) -> MutexGuard<'_, Boots> {
        // Nothing that is done under this lock leaves the map half changed.
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
        if let Some(boot) = boots.latest.get(id).filter(|boot| !boot.phase().is_over()) {
            return Ok(boot.clone());
        }
        let running = boots
            .latest
            .values()
            .filter(|boot| !boot.phase().is_over())
            .count();
        if let Some(max) = self.max_sandboxes.filter(|max| running >= *max) {
            return Err(Error::Full(max));
        }
        let (boot, supervision) = Boot::new(start.boot_id.clone());
        let boot = Arc::new(boot);
        boots.latest.insert(id.clone(), boot.clone());
        tokio::spawn(self.clone().run(id.clone(), start.clone(), supervision));
        Ok(boot)
    }

    /// The whole life of a boot.
    async fn run(self: Arc<Self>, id: SandboxId, start: Start, mut supervision: Supervision) {
        let phase = self.follow(&id, start, &mut supervision).await;
        let phase = phase.unwrap_or_else(|e| Phase::Failed(e.to_string()));
        self.state.discard(&id);
        if let Some(words) = phase.status().last_exit {
            tracing::info!(sandbox = %id, "ended: {words}");
        }
        supervision.finish(phase);
    }

    async fn follow(&self, id: &SandboxId, start: Start, supervision: &mut Supervision) -> io::Result<Phase> {
        let directory = self.state.create(id)?;
        let mut env = start.env;
        env.insert(sandboxd::BOOT_ID_ENV.to_owned(), start.boot_id);
        let launched = launch(&self.programs, &directory, env).await?;
        supervision
            .follow(launched, |process| self.state.record(id, process))
            .await
    }
}
