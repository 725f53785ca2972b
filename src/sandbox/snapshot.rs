//! Snapshots and forks that a client asks for.

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::snapshot::{ForkSource, Snapshot, SnapshotRequest};
use sandbox_protocol::{Invalid, SnapshotId};
use web_sys::{Request, Response};

use super::Core;
use super::save::Save;
use crate::error::ApiError;
use crate::{heartbeat, stub};

/// The time for which the snapshot of a fork is kept: each new sandbox restores it at its starts.
const FORK_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

impl Core {
    /// `POST …/snapshot`: saves a directory. The sandbox is started if necessary.
    pub async fn snapshot(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let text = stub::text(request.text()).await?;
        let wanted = SnapshotRequest::parse(text.as_bytes(), &self.config.file_roots)?;
        // Before anything is started.
        self.store()?;
        let core = self.clone();
        heartbeat::json(async move {
            let boot = core.boot().await?;
            core.count_use();
            let save = Save {
                dir: wanted.dir.to_string(),
                excludes: wanted.excludes,
                name: wanted.name,
                ttl: wanted.ttl,
                ..Save::default()
            };
            Ok(Snapshot::from(core.save_unconditionally(&boot, save).await?))
        })
        .await
    }

    /// Prepares a fork: the snapshot that the new sandboxes begin with, and their settings. One that
    /// runs is saved; of one that does not, it is the last save.
    pub async fn fork_source(self: &Rc<Self>) -> Result<ForkSource, ApiError> {
        let record = self.record().await?;
        let record = record.ok_or_else(|| ApiError::SandboxNotFound(self.id.clone()))?;
        self.store()?;
        let snapshot = if self.running_boot().await?.is_some() {
            let boot = self.boot().await?;
            self.count_use();
            let save = Save {
                ttl: Some(FORK_TTL),
                ..Save::of_workspace(record.settings.auto_save.clone().unwrap_or_default())
            };
            let mut saved = self.save_unconditionally(&boot, save).await?;
            self.add_file_system(&boot, &mut saved).await;
            saved.id
        } else {
            if let Some(last) = &record.last_save {
                // The next save of this sandbox would delete it.
                self.keep_for_forks(&last.id).await?;
            }
            record.snapshot_to_restore().cloned().ok_or_else(|| {
                Invalid::request("the sandbox does not run and was not saved: there is nothing to fork")
            })?
        };
        Ok(ForkSource {
            snapshot,
            settings: record.settings,
        })
    }

    /// Makes the last save one that the next save does not delete.
    async fn keep_for_forks(self: &Rc<Self>, id: &SnapshotId) -> Result<(), ApiError> {
        self.keep_save(id).await?;
        self.change_record(|record| {
            let last = record.last_save.as_mut().filter(|last| last.id == *id);
            Ok(last.map(|last| last.is_kept = true).is_some())
        })
        .await
        .map(drop)
    }

    /// Notes a request of a client that is not forwarded, so that the sandbox is not put to sleep
    /// meanwhile.
    pub fn count_use(&self) {
        self.uses.set(self.uses.get().wrapping_add(1));
    }
}
