//! `autoSave`: the workspace is saved before the sandbox sleeps, and at an interval if the client
//! wants that; the next start restores it. The last save is in the record. It replaces the one
//! before, which is deleted as soon as the record has the new one.

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::sandbox::Saved;
use sandbox_protocol::snapshot::{ListQuery, Manifest, Restoration};
use sandbox_protocol::{SnapshotId, time};
use serde::{Deserialize, Serialize};

use super::lifecycle::Boot;
use super::record::Record;
use super::save::Save;
use super::{Core, resume};
use crate::clock::{millis, now_ms};
use crate::error::ApiError;
use crate::snapshot;

/// The number of the newest snapshots of a destroyed sandbox among which its saves are looked for.
const MAX_SAVES: usize = 100;

/// The last save of a workspace, in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSave {
    /// The snapshot.
    pub id: SnapshotId,
    /// The time at which the workspace was saved, or found unchanged, in milliseconds since 1970.
    pub at_ms: u64,
    /// The version of the workspace in the boot that runs; `None`: not known.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether the snapshot stays when the next save replaces it: sandboxes of a fork begin with it.
    #[serde(default)]
    pub is_kept: bool,
}

impl Record {
    /// The snapshot that a start restores.
    pub fn snapshot_to_restore(&self) -> Option<&SnapshotId> {
        let last = self.last_save.as_ref().map(|last| &last.id);
        last.or(self.settings.snapshot.as_ref())
    }

    /// The restore of the last start, once it is complete.
    pub fn restored_workspace(&self) -> Option<&Restoration> {
        self.restored.as_ref().filter(|_| self.restoring_boot.is_none())
    }

    /// The last save as clients see it.
    pub fn saved(&self) -> Option<Saved> {
        if self.last_save.is_none() && self.save_error.is_none() {
            return None;
        }
        let last = self.last_save.as_ref();
        Some(Saved {
            snapshot: last.map(|last| last.id.clone()),
            at: last.map(|last| time::from_ms(last.at_ms)),
            error: self.save_error.clone(),
        })
    }

    /// The time until the next save of `autoSave`, if it has an interval; zero when it is due.
    pub fn next_save(&self, now_ms: u64) -> Option<Duration> {
        let interval = self.settings.auto_save.as_ref()?.interval()?;
        let last_ms = self.last_save.as_ref().map_or(0, |last| last.at_ms);
        let last_ms = last_ms
            .max(self.started_ms.unwrap_or(0))
            .max(self.save_failed_ms.unwrap_or(0));
        let due_ms = last_ms.saturating_add(millis(interval));
        Some(Duration::from_millis(due_ms.saturating_sub(now_ms)))
    }
}

impl Core {
    /// Saves the workspace of the boot if `autoSave` is on and something has changed; with
    /// `and_file_system`, also the file system of the container, changed or not.
    pub async fn auto_save(self: &Rc<Self>, boot: &Boot, and_file_system: bool) -> Result<(), ApiError> {
        let Some(record) = self.record().await? else {
            return Ok(());
        };
        let Some(settings) = record.settings.auto_save.clone() else {
            return Ok(());
        };
        if record.is_to_be_restored(boot) {
            // Its workspace is not the one that the last save has.
            return Ok(());
        }
        let created_ms = record.created_ms;
        let save = Save {
            is_auto_save: true,
            unless: record.last_save.as_ref().and_then(|last| last.version.clone()),
            ..Save::of_workspace(settings)
        };
        // Elsewhere, no snapshot has one.
        let keeps_file_system = record.started_image.is_some();
        let last = record.last_save.map(|last| last.id).filter(|_| keeps_file_system);
        match self.save(boot, save).await {
            Ok(mut saved) => {
                if let (Some(saved), Some(last)) = (&mut saved, &last) {
                    // The one of this save replaces it below, if there is one.
                    self.add_file_system_of(last, saved).await;
                }
                self.note_resume(boot).await;
                let record = self.record_save(saved, created_ms).await?;
                // After the record has the workspace: should the container end meanwhile, that is safe.
                if and_file_system
                    && keeps_file_system
                    && let Some(last) = &record.last_save
                {
                    self.save_file_system(boot, &last.id).await;
                }
                Ok(())
            }
            Err(e) => {
                let error = e.body().error;
                self.log("not saved", Some(&boot.id), &error);
                self.change_record(|record| {
                    record.save_error = Some(error);
                    record.save_failed_ms = Some(now_ms());
                    // Else the sandbox was destroyed meanwhile.
                    Ok(record.created_ms == created_ms)
                })
                .await?;
                Err(e)
            }
        }
    }

    /// Adds the file system of the container to a save.
    async fn save_file_system(self: &Rc<Self>, boot: &Boot, id: &SnapshotId) {
        let manifest = async { snapshot::manifest(&*self.store()?, id, now_ms()).await };
        // The next start reports one that is gone.
        if let Ok(mut manifest) = manifest.await {
            self.add_file_system(boot, &mut manifest).await;
        }
    }

    /// Puts a save into the record of the sandbox that was created at `created_ms`; `None`: nothing had
    /// changed. Deletes the save before, or this one if the sandbox was destroyed meanwhile. When
    /// `autoSave` was turned off meanwhile, this save stays for clients alone.
    async fn record_save(
        self: &Rc<Self>,
        saved: Option<Manifest>,
        created_ms: u64,
    ) -> Result<Record, ApiError> {
        let (mut obsolete, mut detached) = (None, None);
        let record = self
            .change_record(|record| {
                if record.created_ms != created_ms {
                    obsolete = saved.map(|saved| saved.id);
                    return Ok(false);
                }
                if record.settings.auto_save.is_none() {
                    detached = saved.map(|saved| saved.id);
                    return Ok(false);
                }
                record.save_error = None;
                record.save_failed_ms = None;
                if let Some(saved) = saved {
                    let new = LastSave {
                        id: saved.id,
                        at_ms: saved.created_ms,
                        version: Some(saved.contents.version),
                        is_kept: false,
                    };
                    let last = record.last_save.replace(new);
                    obsolete = last.filter(|last| !last.is_kept).map(|last| last.id);
                } else if let Some(last) = &mut record.last_save {
                    last.at_ms = now_ms();
                }
                Ok(true)
            })
            .await?;
        if let Some(obsolete) = obsolete {
            self.delete_save(&obsolete).await;
        }
        if let Some(detached) = detached {
            self.keep_detached(&detached).await;
        }
        if record.last_save.is_none() {
            self.storage.delete(resume::KEY).await?;
        }
        Ok(record)
    }

    /// Deletes a save that is not needed any more. A failure leaves a snapshot, which clients can
    /// delete.
    pub async fn delete_save(&self, id: &SnapshotId) {
        let deleted = async { snapshot::delete(&*self.store()?, id).await };
        match deleted.await {
            Ok(()) | Err(ApiError::SnapshotNotFound(_)) => {}
            Err(e) => self.log("save not deleted", None, &format!("{id}: {}", e.body().error)),
        }
    }

    /// Deletes the saves of a sandbox that is destroyed, also one that an object made which was evicted
    /// before it had noted it. A failure leaves snapshots, which clients can delete.
    pub async fn delete_saves(&self) {
        let query = ListQuery {
            sandbox: Some(self.id.clone()),
            limit: MAX_SAVES,
            cursor: None,
        };
        let listed = async { snapshot::list(&*self.store()?, &query, now_ms()).await };
        match listed.await {
            Ok(page) => {
                for save in page.snapshots.iter().filter(|snapshot| snapshot.auto_save) {
                    self.delete_save(&save.id).await;
                }
            }
            Err(e) => self.log("saves not deleted", None, &e.body().error),
        }
    }

    /// Makes a save of `autoSave` a snapshot that stays until a client deletes it.
    pub async fn keep_save(&self, id: &SnapshotId) -> Result<(), ApiError> {
        let store = self.store()?;
        let mut manifest = snapshot::manifest(&store, id, now_ms()).await?;
        manifest.is_auto_save = false;
        snapshot::put_manifest(&store, &manifest).await
    }

    /// Forgets the last save, whose snapshot stays.
    pub async fn detach_save(self: &Rc<Self>) -> Result<(), ApiError> {
        let last = self.record().await?.and_then(|record| record.last_save);
        let Some(last) = last else {
            return Ok(());
        };
        self.keep_detached(&last.id).await;
        self.clear_last_save().await
    }

    /// As [`keep_save`](Self::keep_save). A failure leaves a snapshot that is shown as one of `autoSave`.
    async fn keep_detached(&self, id: &SnapshotId) {
        match self.keep_save(id).await {
            Ok(()) | Err(ApiError::SnapshotNotFound(_)) => {}
            Err(e) => self.log("save not kept", None, &format!("{id}: {}", e.body().error)),
        }
    }

    async fn clear_last_save(&self) -> Result<(), ApiError> {
        // A DELETE may have ended the record meanwhile: no new one is made.
        self.change_record(|record| Ok(record.last_save.take().is_some()))
            .await?;
        // It belongs to the save.
        self.storage.delete(resume::KEY).await?;
        Ok(())
    }

    /// Saves the workspace before a DELETE: of the boot that runs, or else the last save. Returns the
    /// snapshot that stays. Error: 502 when there is nothing to save.
    pub async fn save_before_destroy(self: &Rc<Self>) -> Result<SnapshotId, ApiError> {
        let record = self.record().await?;
        let settings = record
            .as_ref()
            .and_then(|record| record.settings.auto_save.clone());
        if self.running_boot().await?.is_some() {
            let boot = self.boot().await?;
            let save = Save::of_workspace(settings.unwrap_or_default());
            let mut saved = self.save_unconditionally(&boot, save).await?;
            self.add_file_system(&boot, &mut saved).await;
            return Ok(saved.id);
        }
        let last = record.and_then(|record| record.last_save);
        let last = last.ok_or_else(|| {
            ApiError::Snapshot("the sandbox does not run and was not saved: there is nothing to save".into())
        })?;
        self.keep_save(&last.id).await?;
        self.clear_last_save().await?;
        Ok(last.id)
    }
}
