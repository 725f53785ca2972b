//! The file system of a container as part of a snapshot: installed packages, and everything else
//! outside of the workspace. The platform keeps it, for 30 days, and bound to the image.
//!
//! The workspace itself is always restored from the archive, which outlives both and is compared with
//! its manifest.

use std::rc::Rc;

use sandbox_protocol::SnapshotId;
use sandbox_protocol::snapshot::{ContainerSnapshot, Manifest};

use super::Core;
use super::lifecycle::Boot;
use super::record::Record;
use crate::clock::now_ms;
use crate::error::ApiError;
use crate::snapshot;

impl Core {
    /// Adds the file system of the boot's container to a snapshot, where the platform can keep it. A
    /// failure is logged: the snapshot is an archive then.
    pub async fn add_file_system(self: &Rc<Self>, boot: &Boot, manifest: &mut Manifest) {
        let added = async {
            let image = self.record().await?.and_then(|record| record.started_image);
            let Some(image) = image else {
                return Ok(());
            };
            let kept = self.runtime.keep_container(image, manifest.id.as_str()).await?;
            self.put_container(manifest, kept).await
        };
        if let Err(e) = added.await {
            let e: ApiError = e;
            self.log("container not saved", Some(&boot.id), &e.body().error);
        }
    }

    /// Adds the file system that an earlier snapshot has. A failure is logged.
    pub async fn add_file_system_of(&self, earlier: &SnapshotId, manifest: &mut Manifest) {
        let added = async {
            let earlier = snapshot::manifest(&*self.store()?, earlier, now_ms()).await?;
            self.put_container(manifest, earlier.container).await
        };
        if let Err(e) = added.await {
            let e: ApiError = e;
            self.log("container not saved", None, &e.body().error);
        }
    }

    async fn put_container(
        &self,
        manifest: &mut Manifest,
        container: Option<ContainerSnapshot>,
    ) -> Result<(), ApiError> {
        if container.is_none() {
            return Ok(());
        }
        manifest.container = container;
        snapshot::put_manifest(&*self.store()?, manifest).await
    }

    /// The file system of a snapshot that a start can use, or the reason why it cannot use the one
    /// that there is.
    pub async fn file_system_to_restore(
        &self,
        id: &SnapshotId,
        record: &Record,
        failure: Option<String>,
    ) -> (Option<ContainerSnapshot>, Option<String>) {
        // The start reports an image that does not exist, and the restore a manifest.
        let Ok(Some(image)) = self.runtime.kept_image(record.settings.image.as_deref()) else {
            return (None, None);
        };
        let manifest = async { snapshot::manifest(&*self.store()?, id, now_ms()).await };
        let Some(container) = manifest.await.ok().and_then(|manifest| manifest.container) else {
            return (None, None);
        };
        if failure.is_some() {
            return (None, failure);
        }
        if container.image != image {
            return (None, Some("the sandbox has another image now".into()));
        }
        (Some(container), None)
    }
}
