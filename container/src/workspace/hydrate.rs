//! `hydrate`: unpacks an archive over the workspace.

use std::io::{self, BufRead};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use sandbox_protocol::answer::Done;
use sandbox_protocol::archive::archive_path;
use sandbox_protocol::{FilePath, Invalid, workspace_path};
use tokio::sync::{mpsc, oneshot};

use super::Archives;
use super::directories::{Directories, Modes};
use super::error::damaged;
use super::input::{self, Block, Received};
use super::merge::Merge;
use super::reader::Members;
use super::staging::Staging;
use super::unpack::Unpacker;
use crate::body::{PIECE, Upload};
use crate::error::Error;
use crate::files;
use crate::malloc;

/// The most pieces of a body that may wait.
const WAITING: usize = 2;
/// The most bytes of a body that are held: the waiting pieces, one being received and one being
/// unpacked.
pub(super) const HELD: usize = (WAITING + 2) * PIECE;

/// Answers `POST` with `{"ok":true}` once all of the archive is in the workspace.
pub(super) async fn hydrate(
    State(archives): State<Arc<Archives>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>, Error> {
    let mut upload = Upload::new(body, archives.buffers.clone(), HELD);
    // Also when the client leaves.
    let _release = Release;
    match receive(archives, &uri, &headers, &mut upload).await {
        Ok(()) => Ok(Json(Done::default())),
        Err(e) => {
            upload.refuse(&headers);
            Err(e)
        }
    }
}

/// Returns freed memory to the system when it is dropped.
pub(super) struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        malloc::release_later();
    }
}

async fn receive(
    archives: Arc<Archives>,
    uri: &Uri,
    headers: &HeaderMap,
    upload: &mut Upload,
) -> Result<(), Error> {
    let path = archive_path(uri.query().unwrap_or_default(), &archives.file_roots)?;
    upload.announced(headers)?;
    let permit = archives.under_way.take()?;
    let unpack = move |archive| {
        let unpacked = archives.unpack(archive, path.as_ref());
        drop(permit);
        unpacked
    };
    unpack_on_thread(upload, "hydrate", unpack).await
}

/// Sends the body to a thread with this name that unpacks it. When this ends early, for example because
/// the client left, the thread ends too, as its input breaks off.
pub(super) async fn unpack_on_thread<T: Send + 'static>(
    upload: &mut Upload,
    name: &str,
    unpack: impl FnOnce(Received) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, blocks) = mpsc::channel(WAITING);
    let (done, mut outcome) = oneshot::channel();
    // A thread of its own: a client that stalls would hold a thread of the pool that all other
    // requests share.
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let unpacked = unpack(Received::new(blocks));
            // Fails when the client left.
            let _ = done.send(unpacked);
        })
        .map_err(Error::Write)?;
    let lost = |_| Error::Write(io::Error::other("the thread that unpacks is lost"));
    loop {
        let received = tokio::select! {
            // The thread has refused the archive.
            ended = &mut outcome => return ended.map_err(lost)?,
            received = upload.next_piece() => received,
        };
        let block = match received {
            Ok(Some(bytes)) => Block::Bytes(bytes),
            Ok(None) => Block::End,
            Err(e) => {
                // Drop the unpacked files first, so that they are gone before the client gets the
                // error.
                drop(sender);
                let _ = outcome.await;
                return Err(e);
            }
        };
        let is_last = matches!(block, Block::End);
        // Fails when the thread has ended; its result has the reason.
        if sender.send(block).await.is_err() || is_last {
            return outcome.await.map_err(lost)?;
        }
    }
}

impl Archives {
    /// Unpacks the whole `archive` beside the workspace, then moves the tree in: over the directory at
    /// `path`, which is created if it is missing, or over the workspace. It blocks.
    ///
    /// Errors: 400 for a malformed archive and for members that a workspace cannot have, 507 and
    /// 502 when the tree cannot be written. An error before the move leaves the workspace as it
    /// was.
    pub fn unpack(&self, archive: impl BufRead + 'static, path: Option<&FilePath>) -> Result<(), Error> {
        let unreadable = |e: io::Error| damaged(&e.to_string());
        let Some(archive) = input::unpacked(archive).map_err(unreadable)? else {
            return Err(Invalid::request("Empty tar payload").into());
        };
        let write = |errno: rustix::io::Errno| Error::Write(errno.into());
        let staging = Staging::create(&self.staging_parent).map_err(write)?;
        let tree = staging.tree("tree").map_err(write)?;
        let directories = Directories::new(staging.file().map_err(write)?, Modes::SAFE);
        let mut members = Members::new(archive);
        let unpacker = Unpacker::new(tree.as_fd(), directories, self.owner).map_err(write)?;
        let directories = unpacker.unpack(&mut members)?.directories;
        members.finish()?;

        // One at a time: two archives with the same names are applied one after the other, not
        // mixed.
        let _merging = self.turn()?;
        let target = self.target(path)?;
        Merge::new(tree, target.try_clone().map_err(Error::Write)?, self.owner).run()?;
        directories.apply(target).map_err(Error::Write)
    }

    /// Opens the directory that an archive is moved into.
    pub(super) fn target(&self, path: Option<&FilePath>) -> Result<OwnedFd, Error> {
        let Some(path) = path.filter(|path| path.as_str() != workspace_path::WORKSPACE) else {
            let workspace = self.staging_parent.workspace();
            return workspace.try_clone_to_owned().map_err(Error::Write);
        };
        files::make(&self.roots, path, files::NEW_DIRECTORY, self.owner)?;
        match files::open(&self.roots, path) {
            Err(Error::Read(e)) => Err(Error::Write(e)),
            opened => opened,
        }
    }
}
