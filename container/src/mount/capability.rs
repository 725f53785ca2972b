//! The right to mount, withheld from commands.
//!
//! In a container commands run as another user and have no capability at all. On the local runtime
//! they run as the user of `sandboxd`, which can be root: they have all its rights. There
//! (`--reserve-mounting`) one thread keeps the right to pass `CAP_SYS_ADMIN` on and starts s3fs;
//! every other thread, and so every command, loses it. Capabilities belong to threads, and new
//! threads inherit those of their creator, so this happens before there are others.
//!
//! The rest of `sandboxd` may still use the capability itself. A command cannot get it through
//! tracing: the kernel lets no process trace one that has more capabilities.

use std::io;
use std::sync::mpsc;
use std::thread;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};
use tokio::sync::oneshot;

use crate::threads::PATHS;

type Job = Box<dyn FnOnce() + Send>;

/// Starts processes that may mount.
#[derive(Debug)]
pub struct MountCapability {
    /// Jobs for the thread that has the right; `None`: every thread has it.
    jobs: Option<mpsc::Sender<Job>>,
}

impl MountCapability {
    /// Every thread keeps the right.
    pub fn everybody() -> Self {
        Self { jobs: None }
    }

    /// Takes the right to mount from every process that this thread and its future threads start.
    /// Does nothing where there is no such right.
    pub fn reserve() -> io::Result<Self> {
        let own = capabilities(None)?;
        if !own.permitted.contains(CapabilitySet::SYS_ADMIN) {
            return Ok(Self::everybody());
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("mounts".into())
            .spawn(move || queue.into_iter().for_each(|job| job()))?;
        let inheritable = own.inheritable - CapabilitySet::SYS_ADMIN - CapabilitySet::SETPCAP;
        set_capabilities(None, CapabilitySets { inheritable, ..own })?;
        // SETPCAP too: it is the capability that the first call needs.
        remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN)?;
        remove_capability_from_bounding_set(CapabilitySet::SETPCAP)?;
        Ok(Self { jobs: Some(jobs) })
    }

    /// Runs `work`, which may block, with the right to mount for what it starts.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(jobs) = &self.jobs else {
            return PATHS.run(work).await.flatten();
        };
        let (done, result) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let job = move || {
            let _context = runtime.enter();
            // Fails when nobody waits any more; the result is dropped.
            let _ = done.send(work());
        };
        let gone = || io::Error::other("the thread that may mount is gone");
        jobs.send(Box::new(job)).map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }
}
