//! `POST /restore`: a directory is replaced by the content of an archive.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use remove_tree::remove_tree;
use rustix::io::Errno;
use sandbox_protocol::snapshot::{RestoreQuery, Restored};
use sandbox_protocol::{FilePath, workspace_path};

use super::super::directories::{Directories, Modes};
use super::super::exclude::Excludes;
use super::super::hydrate::{HELD, Release, unpack_on_thread};
use super::super::input::Received;
use super::super::reader::Members;
use super::super::staging::{Staging, StagingParent};
use super::super::unpack::Unpacker;
use super::Snapshots;
use super::swap::Swap;
use super::verified_archive::VerifiedArchive;
use super::walk::list_tree;
use crate::body::Upload;
use crate::error::Error;
use crate::files;
use crate::paths::names;
use crate::random::random_id;

/// Answers once the directory has the content of the archive.
pub(super) async fn restore(
    State(snapshots): State<Arc<Snapshots>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Restored>, Error> {
    let mut upload = Upload::new(body, snapshots.archives.buffers.clone(), HELD);
    // Also when the client leaves.
    let _release = Release;
    match receive(snapshots, &uri, &headers, &mut upload).await {
        Ok(restored) => Ok(Json(restored)),
        Err(e) => {
            upload.refuse(&headers);
            Err(e)
        }
    }
}

async fn receive(
    snapshots: Arc<Snapshots>,
    uri: &Uri,
    headers: &HeaderMap,
    upload: &mut Upload,
) -> Result<Restored, Error> {
    let query = uri.query().unwrap_or_default();
    let wanted = RestoreQuery::parse(query, &snapshots.archives.file_roots)?;
    upload.announced(headers)?;
    snapshots.free_of_mounts(&wanted)?;
    let exclusive = snapshots.exclusive().await?;
    let unpack = move |archive| {
        let restored = snapshots.restore(archive, &wanted);
        drop(exclusive);
        restored
    };
    let restored = unpack_on_thread(upload, "restore", unpack).await;
    restored.map_err(|e| match e {
        // It is malformed, or broke off.
        Error::Invalid(e) => Error::RestoreIncomplete(e.message().to_owned()),
        e => e,
    })
}

impl Snapshots {
    /// Replaces a directory by the content of an archive. It blocks.
    fn restore(&self, archive: Received, wanted: &RestoreQuery) -> Result<Restored, Error> {
        let archives = &self.archives;
        let write = |errno: Errno| Error::Write(errno.into());
        let other;
        let parent = match wanted.dir.as_str() {
            workspace_path::WORKSPACE => &archives.staging_parent,
            // In its root: a rename from beside the workspace into a directory of it would lead to
            // another mount.
            _ => {
                let root = FilePath::parse("path", wanted.dir.root(), &archives.file_roots)?;
                let root = files::open(&archives.roots, &root)?;
                other = StagingParent::within(root).map_err(Error::Write)?;
                &other
            }
        };
        if wanted.discard {
            self.discard(wanted)?;
        }
        let staging = Staging::create(parent).map_err(write)?;
        let tree = staging.tree("tree").map_err(write)?;
        let directories = Directories::new(staging.file().map_err(write)?, Modes::ALL);
        let unpacker = Unpacker::new(tree.as_fd(), directories, archives.owner).map_err(write)?;
        let mut archive = VerifiedArchive::new(archive).map_err(Error::Write)?;
        let mut members = Members::new(&mut archive);
        let unpacked = unpacker.unpack(&mut members)?;
        members.finish()?;
        let checked = archive.check(wanted, unpacked.count);
        checked.map_err(Error::RestoreIncomplete)?;
        // Those at the top are moved, which the kernel may refuse for some modes.
        let mut directories = unpacked.directories;
        let duplicate = || tree.try_clone().map_err(Error::Write);
        directories
            .apply_to(duplicate()?, |depth| depth > 1)
            .map_err(Error::Write)?;

        // Hydrates come before or after.
        let _merging = archives.turn()?;
        self.free_of_mounts(wanted)?;
        let target = self.target(wanted)?;
        let trash = staging.tree("trash").map_err(write)?;
        let stop = self.stop();
        Swap::new(tree.as_fd(), trash.as_fd(), target.as_fd()).run()?;
        let target_again = || target.try_clone().map_err(Error::Write);
        let applied = directories.apply_to(target_again()?, |depth| depth <= 1);
        applied.map_err(Error::Write)?;
        let listed = list_tree(target_again()?, &Excludes::default(), |_| ());
        let version = match listed {
            Ok(listed) if stop.holds() => Ok(listed.version),
            // It may be that of a change. Another one leads to a save without need.
            _ => random_id(),
        };
        drop(stop);
        // The old content can be large.
        std::thread::spawn(move || drop(staging));
        let version = version.map_err(|e| Error::Snapshot(e.to_string()))?;
        Ok(Restored { version })
    }

    /// The directory to restore, opened; it is made if it does not exist. Error: 409 when a file is
    /// in its place.
    fn target(&self, wanted: &RestoreQuery) -> Result<OwnedFd, Error> {
        self.archives.target(Some(&wanted.dir)).map_err(|e| match e {
            Error::Invalid(_) | Error::FileExists(_) => Error::RestoreConflict(e.to_string()),
            e => e,
        })
    }

    /// Deletes everything in the directory.
    fn discard(&self, wanted: &RestoreQuery) -> Result<(), Error> {
        let target = self.target(wanted)?;
        for name in names(target.as_fd()).map_err(|errno| Error::Write(errno.into()))? {
            remove_tree(&target, &name).map_err(Error::Write)?;
        }
        Ok(())
    }

    /// Error: 409 when something is mounted in the directory, or the directory is in a mount.
    fn free_of_mounts(&self, wanted: &RestoreQuery) -> Result<(), Error> {
        let dir = wanted.dir.as_str();
        let below = |path: &str, other: &str| {
            path.strip_prefix(other)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mounts = self.mounts.used_paths();
        match mounts.iter().find(|mount| below(mount, dir) || below(dir, mount)) {
            Some(mount) => Err(Error::RestoreConflict(format!(
                "{dir} cannot be restored while a bucket is mounted at {mount}"
            ))),
            None => Ok(()),
        }
    }
}
