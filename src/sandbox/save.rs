//! Saving a directory of the sandbox: `sandboxd` makes an archive, in parts of one size, and this
//! object passes them on to the store, several at a time. The bytes never enter the isolate's memory.
//!
//! The manifest is written last. A save that fails, or whose object is evicted, leaves nothing that
//! counts as a snapshot: R2 discards an unfinished upload, and a lone archive has no manifest.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use sandbox_protocol::snapshot::{
    AutoSave, Contents, LAST_PART_HEADER, Manifest, PARTS_KEPT, SaveRequest, SaveStarted, part_url, save_url,
};
use sandbox_protocol::workspace_path::WORKSPACE;
use sandbox_protocol::{SnapshotId, sandboxd};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::Response;

use super::Core;
use super::call::json_body;
use super::lifecycle::Boot;
use crate::clock::{millis, now_ms};
use crate::error::ApiError;
use crate::new_id::crypto;
use crate::snapshot::{self, Store, Upload, archive_key};

/// The number of attempts to store a part.
const ATTEMPTS: u32 = 3;

/// The backoff before another attempt.
const BACKOFF: Duration = Duration::from_millis(100);

/// A save: the directory, and the description of its snapshot.
#[derive(Debug, Clone, Default)]
pub struct Save {
    /// The directory.
    pub dir: String,
    /// The patterns to leave out.
    pub excludes: Vec<String>,
    /// The name of the snapshot.
    pub name: Option<String>,
    /// The time after which it is deleted.
    pub ttl: Option<Duration>,
    /// Whether `autoSave` makes it.
    pub is_auto_save: bool,
    /// The version that need not be saved again.
    pub unless: Option<String>,
}

impl Save {
    /// A save of the workspace without the files that `autoSave` excludes.
    pub fn of_workspace(settings: AutoSave) -> Self {
        Self {
            dir: WORKSPACE.to_owned(),
            excludes: settings.excludes,
            ..Self::default()
        }
    }
}

/// The upload of one part: its result is its entity tag.
type PartUpload = Shared<LocalBoxFuture<'static, Result<String, ApiError>>>;

impl Core {
    /// Saves a directory of the boot. `None`: it still has the version that need not be saved. One
    /// save at a time: another one waits.
    pub async fn save(self: &Rc<Self>, boot: &Boot, save: Save) -> Result<Option<Manifest>, ApiError> {
        let store = self.store()?;
        let _guard = self.save_lock.lock().await;
        let request = SaveRequest {
            dir: save.dir.clone(),
            excludes: save.excludes.clone(),
            unless: save.unless.clone(),
        };
        let started: SaveStarted =
            json_body(self.call(boot, "POST", sandboxd::SAVE, Some(&request)).await?).await?;
        let Some(running) = started.save else {
            return Ok(None);
        };
        let id = new_snapshot_id()?;
        let key = archive_key(&id);
        let saved = self.upload(boot, &store, &key, &running).await;
        // Also after a failure. Without this call, the save ends after its idle time.
        let _ = self
            .call::<()>(boot, "DELETE", &save_url(&running, ""), None)
            .await;
        let stored = async {
            let contents = saved?;
            let now_ms = now_ms();
            let manifest = Manifest {
                id,
                name: save.name,
                sandbox: self.id.to_string(),
                dir: save.dir,
                created_ms: now_ms,
                expires_ms: save.ttl.map(|ttl| now_ms.saturating_add(millis(ttl))),
                is_auto_save: save.is_auto_save,
                container: None,
                contents,
            };
            snapshot::put_manifest(&store, &manifest).await?;
            Ok(manifest)
        };
        let manifest = match stored.await {
            Ok(manifest) => manifest,
            Err(e) => {
                // The archive may be there already.
                let _ = store.delete(&key).await;
                return Err(e);
            }
        };
        let size = manifest.contents.archive_bytes;
        self.log("saved", Some(&boot.id), &format!("{} {size} bytes", manifest.id));
        Ok(Some(manifest))
    }

    /// As [`save`](Self::save), of any version.
    pub async fn save_unconditionally(
        self: &Rc<Self>,
        boot: &Boot,
        save: Save,
    ) -> Result<Manifest, ApiError> {
        let saved = self.save(boot, Save { unless: None, ..save }).await?;
        saved.ok_or_else(|| ApiError::Internal("a save without a version was left out".into()))
    }

    /// Stores the whole archive of a save.
    async fn upload(
        self: &Rc<Self>,
        boot: &Boot,
        store: &Rc<Store>,
        key: &str,
        save: &str,
    ) -> Result<Contents, ApiError> {
        let first = self.part(boot, save, 1).await?;
        if is_last(&first)? {
            self.put_whole(boot, store, key, save, first).await?;
        } else {
            let upload = Rc::new(store.create_upload(key).await?);
            let stored = async {
                let etags = self.upload_parts(boot, store, &upload, save, first).await?;
                store.complete_upload(&upload, &etags).await
            };
            if let Err(e) = stored.await {
                let _ = store.abort_upload(&upload).await;
                return Err(e);
            }
        }
        let path = save_url(save, "/contents");
        json_body(self.call::<()>(boot, "GET", &path, None).await?).await
    }

    /// Stores an archive of one part.
    async fn put_whole(
        self: &Rc<Self>,
        boot: &Boot,
        store: &Store,
        key: &str,
        save: &str,
        first: Response,
    ) -> Result<(), ApiError> {
        let mut part = first;
        for attempt in 1.. {
            let (body, length) = body_of(&part)?;
            match store.put(key, &body, length).await {
                Err(_) if attempt < ATTEMPTS => {}
                stored => return stored,
            }
            worker::Delay::from(BACKOFF).await;
            part = self.part(boot, save, 1).await?;
        }
        Ok(())
    }

    /// Stores all parts, at most [`PARTS_KEPT`] at a time. Returns their entity tags.
    async fn upload_parts(
        self: &Rc<Self>,
        boot: &Boot,
        store: &Rc<Store>,
        upload: &Rc<Upload>,
        save: &str,
        first: Response,
    ) -> Result<Vec<String>, ApiError> {
        let mut etags = Vec::new();
        let mut under_way: VecDeque<PartUpload> = VecDeque::new();
        let mut next = Some(first);
        let mut number = 1;
        while let Some(part) = next {
            let is_last = is_last(&part)?;
            under_way.push_back(self.upload_part(boot, store, upload, save, number, part));
            // sandboxd drops a part when the one PARTS_KEPT ahead of it is asked for.
            if under_way.len() >= PARTS_KEPT as usize
                && let Some(oldest) = under_way.pop_front()
            {
                etags.push(oldest.await?);
            }
            number += 1;
            next = match is_last {
                true => None,
                false => Some(self.part(boot, save, number).await?),
            };
        }
        for part in under_way {
            etags.push(part.await?);
        }
        Ok(etags)
    }

    /// Begins to store a part.
    fn upload_part(
        self: &Rc<Self>,
        boot: &Boot,
        store: &Rc<Store>,
        upload: &Rc<Upload>,
        save: &str,
        number: u32,
        part: Response,
    ) -> PartUpload {
        let (core, store, upload) = (self.clone(), store.clone(), upload.clone());
        let (boot, save) = (boot.clone(), save.to_owned());
        let stored = async move {
            let in_store = u16::try_from(number)
                .map_err(|_| ApiError::Snapshot("the archive has more parts than a store takes".into()))?;
            let mut part = part;
            let mut attempt = 1;
            loop {
                let (body, length) = body_of(&part)?;
                match store.upload_part(&upload, in_store, &body, length).await {
                    Err(e) if attempt < ATTEMPTS => {
                        core.log("part not stored", Some(&boot.id), &e.body().error);
                    }
                    stored => return stored,
                }
                worker::Delay::from(BACKOFF).await;
                attempt += 1;
                part = core.part(&boot, &save, number).await?;
            }
        };
        let stored = stored.boxed_local().shared();
        let driver = stored.clone();
        spawn_local(async move {
            // The one that waits for it gets its result.
            let _ = driver.await;
        });
        stored
    }

    /// Asks for a part of an archive.
    async fn part(&self, boot: &Boot, save: &str, number: u32) -> Result<Response, ApiError> {
        // The store pipes the body through a stream of the runtime. Through two, one after another,
        // a container's body stands still.
        self.call::<()>(boot, "GET", &part_url(save, number), None).await
    }
}

/// The error of an operation that saves first, and does nothing when that fails.
pub fn not_saved(e: &ApiError) -> ApiError {
    match e {
        ApiError::NotSupported(_) => e.clone(),
        e => ApiError::Snapshot(format!("the workspace was not saved: {}", e.body().error)),
    }
}

fn is_last(part: &Response) -> Result<bool, ApiError> {
    Ok(part.headers().get(LAST_PART_HEADER)?.as_deref() == Some("true"))
}

fn body_of(part: &Response) -> Result<(JsValue, u64), ApiError> {
    let length = part.headers().get("content-length")?;
    let length = length.and_then(|length| length.parse().ok());
    match (part.body(), length) {
        (Some(body), Some(length)) => Ok((body.into(), length)),
        _ => Err(ApiError::Snapshot("sandboxd sent a part without a length".into())),
    }
}

fn new_snapshot_id() -> Result<SnapshotId, ApiError> {
    let mut random = [0; 16];
    crypto()?.get_random_values_with_u8_array(&mut random)?;
    Ok(SnapshotId::new(now_ms(), random))
}
