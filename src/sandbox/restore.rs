//! Restoring a snapshot: the archive goes from the store to `sandboxd`, which unpacks it beside the
//! directory, compares it with the manifest and then swaps the two.

use std::rc::Rc;

use sandbox_protocol::snapshot::{
    ContainerSnapshot, Kind, Manifest, RESTORED_HEADER, RESTORED_KIND_HEADER, Restoration, RestoreQuery,
    RestoreRequest, Restored, Snapshot,
};
use sandbox_protocol::{FilePath, sandboxd};
use web_sys::{Headers, Request, RequestInit, Response};

use super::Core;
use super::call::{connection_lost, json_body, response_error};
use super::lifecycle::{Boot, Ticket};
use crate::clock::now_ms;
use crate::error::ApiError;
use crate::snapshot::{self, Store, archive_key};
use crate::{heartbeat, response, stub};

impl Core {
    /// `POST …/restore`: replaces the directory of the snapshot by what was saved. The sandbox is
    /// started if necessary.
    pub async fn restore(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let wanted = stub::text(request.text()).await?;
        let wanted = RestoreRequest::parse(wanted.as_bytes(), &self.config.file_roots)?;
        let store = self.store()?;
        // Before anything is started.
        let manifest = snapshot::manifest(&store, &wanted.snapshot, now_ms()).await?;
        let core = self.clone();
        heartbeat::json(async move {
            let boot = core.boot().await?;
            core.count_use();
            let _guard = core.save_lock.lock().await;
            core.unpack(&boot, &store, &manifest, wanted.dir, false).await?;
            Ok(Snapshot::from(manifest))
        })
        .await
    }

    /// Starts the sandbox without its last snapshot, unless it runs.
    pub async fn start_without_restore(self: &Rc<Self>) -> Result<(), ApiError> {
        self.skips_restore.set(self.skips_restore.get() + 1);
        let mut started = self.boot().await;
        if matches!(started, Err(ApiError::RestoreIncomplete(_))) {
            // That was the start of another request.
            started = self.boot().await;
        }
        self.skips_restore.set(self.skips_restore.get() - 1);
        started.map(drop)
    }

    /// Notes, before a boot is started, whether its workspace is to be restored: an object that is
    /// evicted meanwhile must not take it for one that was. Returns the file system to start from, if
    /// there is one; `failure` is the reason why that failed before.
    pub async fn plan_restore(
        self: &Rc<Self>,
        boot_id: &str,
        failure: Option<String>,
    ) -> Result<Option<ContainerSnapshot>, ApiError> {
        let skips = self.skips_restore.get() > 0;
        if skips {
            self.detach_save().await?;
        }
        let Some(record) = self.record().await? else {
            return Ok(None);
        };
        let snapshot = record.snapshot_to_restore().filter(|_| !skips).cloned();
        let (container, error) = match &snapshot {
            Some(id) => self.file_system_to_restore(id, &record, failure).await,
            None => (None, None),
        };
        let restoring = snapshot.as_ref().map(|_| boot_id.to_owned());
        let restored = snapshot.map(|snapshot| Restoration {
            snapshot,
            kind: match container {
                Some(_) => Kind::Container,
                None => Kind::Archive,
            },
            error,
        });
        if (&record.restoring_boot, &record.restored) != (&restoring, &restored) {
            self.change_record(|record| {
                record.restoring_boot = restoring;
                record.restored = restored;
                Ok(true)
            })
            .await?;
        }
        Ok(container)
    }

    /// Restores the workspace of a boot that answers, if it was not restored yet, and what ran in it.
    /// A boot that cannot be restored is destroyed. Error: 409, with the reason.
    pub async fn finish_restore(self: &Rc<Self>, ticket: Ticket, boot: &Boot) -> Result<(), ApiError> {
        let record = self.record().await?;
        let record = record.filter(|record| record.is_to_be_restored(boot));
        let Some(restored) = record.and_then(|record| record.restored) else {
            return Ok(());
        };
        let id = &restored.snapshot;
        self.lifecycle.borrow_mut().begin_restore(ticket);
        let version = match self.restore_workspace(boot, &restored).await {
            Ok(restored) => restored.version,
            Err(e) => {
                self.runtime.destroy().await?;
                return Err(e);
            }
        };
        self.resume(boot).await;
        self.change_record(|record| {
            record.restoring_boot = None;
            if let Some(last) = record.last_save.as_mut().filter(|last| last.id == *id) {
                last.version = Some(version);
            }
            Ok(true)
        })
        .await?;
        // It is read no more: the sandbox has its files.
        *self.asleep.borrow_mut() = None;
        self.restores.set(self.restores.get() + 1);
        *self.last_restored.borrow_mut() = Some(restored);
        Ok(())
    }

    async fn restore_workspace(
        self: &Rc<Self>,
        boot: &Boot,
        restoration: &Restoration,
    ) -> Result<Restored, ApiError> {
        let id = &restoration.snapshot;
        // A container that starts from a snapshot has the files already: but for a boot that is
        // destroyed after a failure, they would be there twice.
        let discard = restoration.kind == Kind::Container;
        let restored = async {
            let store = self.store()?;
            let manifest = snapshot::manifest(&store, id, now_ms()).await?;
            self.unpack(boot, &store, &manifest, None, discard).await
        };
        restored.await.map_err(|e: ApiError| {
            ApiError::RestoreIncomplete(format!(
                "the sandbox was not started, because its snapshot {id} could not be restored: {}. A start with \
                 ?without=restore begins with an empty workspace, and keeps the snapshot",
                e.body().error
            ))
        })
    }

    /// Sends the archive to `sandboxd`, for a directory that is by default the one that was saved. With
    /// `discard`, the old content is deleted first.
    async fn unpack(
        &self,
        boot: &Boot,
        store: &Store,
        manifest: &Manifest,
        dir: Option<FilePath>,
        discard: bool,
    ) -> Result<Restored, ApiError> {
        let archive = store.get(&archive_key(&manifest.id), None).await?;
        let archive = archive.and_then(|archive| archive.body());
        let archive = archive.ok_or_else(|| {
            ApiError::RestoreIncomplete(format!("the archive of the snapshot {} is gone", manifest.id))
        })?;
        let dir = match dir {
            Some(dir) => dir,
            None => FilePath::parse("dir", &manifest.dir, &self.config.file_roots)?,
        };
        let contents = &manifest.contents;
        let init = RequestInit::new();
        init.set_method("POST");
        init.set_body(&archive);
        let path = sandboxd::restore_url(&RestoreQuery {
            dir,
            sha256: contents.sha256.clone(),
            files: contents.files,
            discard,
        });
        let response = self.runtime.fetch(boot, &path, &init).await;
        // A body that breaks off here is refused there: the connection itself is lost.
        let response = response.map_err(|thrown| connection_lost(&thrown))?;
        if !response.ok() {
            return Err(response_error(response).await);
        }
        self.log("restored", Some(&boot.id), manifest.id.as_str());
        json_body(response).await
    }

    /// Adds the header that tells a client of a restore that its request waited for.
    pub fn add_restored_headers(
        &self,
        restores_before: u64,
        response: Response,
    ) -> Result<Response, ApiError> {
        let restored = self.last_restored.borrow().clone();
        let Some(restored) = restored.filter(|_| self.restores.get() != restores_before) else {
            return Ok(response);
        };
        // The response of an upgrade cannot be copied.
        if response.status() == 101 {
            return Ok(response);
        }
        // The headers of a response that was fetched cannot be changed.
        let headers = Headers::new_with_headers(&response.headers())?;
        headers.set(RESTORED_HEADER, restored.snapshot.as_str())?;
        headers.set(RESTORED_KIND_HEADER, restored.kind.name())?;
        let body = response.body();
        Ok(response::streamed(response.status(), &headers, body.as_ref())?)
    }
}
