//! Files and directories of the workspace over HTTP: reading, writing, editing, listing, copying, moving,
//! deleting, searching and watching them.
//!
//! # Theory of operation
//!
//! A request names a file by a [`FilePath`], which is clean text and nothing more. Commands in
//! the sandbox make and change the symbolic links on it at any time. So a path is never checked and
//! then used. [`crate::paths`] turns a path into open file descriptors that pin what was found
//! inside the workspace, and all other code works on those descriptors.
//!
//! - `read`: a pinned file → response, with `validators` (`ETag`, `Last-Modified`, conditions) and
//!   `range`. Bytes flow in bounded memory, two chunks of them.
//! - `write`: request → `upload`, a temporary file beside the target that is renamed over it once
//!   it is complete. Until then readers see the old file, and a broken upload leaves nothing. With
//!   `in_place=true`, the existing file is truncated when the first bytes are there, and written.
//!
//! Every system call that can block runs on tokio's blocking pool, one short call at a time: a
//! client that stalls holds no thread.
//!
//! Errors: 400 for anything but a regular file, and for an invalid path; 403 for a path outside the
//! workspace, and for a file that the server itself may not read or write (sandboxd as root may, so
//! this is rare); 404 for a missing file. A hard link is the file itself and therefore inside the
//! workspace.

mod attributes;
mod copy;
mod create;
mod delete;
mod edit;
mod entry;
mod list;
mod locks;
mod page;
mod preconditions;
mod range;
mod read;
mod renames;
mod search;
mod stat;
mod temporary;
mod transfer;
mod tree;
mod unique_mtimes;
mod upload;
mod validators;
mod watch;
mod workspace;
mod write;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::routing::{get, post};
use rustix::io::Errno;
use sandbox_protocol::{FilePath, Invalid, sandboxd};
use tokio::sync::oneshot;

pub use workspace::Workspace;

pub(crate) use create::{NEW_DIRECTORY, make};
pub(crate) use list::open;
pub(crate) use workspace::open_roots;

pub(crate) use temporary::{TEMPORARY, flush, temporary_name};

use crate::error::Error;

/// Serves the files of `workspace` on [`sandboxd::FILE`]: the rest of a URL's path is what
/// [`FilePath::to_url`] writes.
///
/// | request | answer |
/// | --- | --- |
/// | `GET`, `HEAD` | 200 (or 206, 304) with the file's bytes as `application/octet-stream` |
/// | `PUT` | 200 `{"ok":true}` when the body is the file; [`sandboxd::MAX_UPLOAD_HEADER`] bounds it, `?in_place=true` keeps the inode |
pub fn router<S: Clone + Send + Sync + 'static>(workspace: Arc<Workspace>) -> Router<S> {
    let file = get(read::read)
        .put(write::write)
        .delete(delete::delete)
        .patch(attributes::set);
    let below = |prefix: &str| format!("{prefix}{{*path}}");
    Router::new()
        .route(sandboxd::FILE, file.clone())
        .route(&below(sandboxd::FILE), file)
        .route(&below(sandboxd::DIRECTORY), get(list::list).put(create::create))
        .route(&below(sandboxd::STAT), get(stat::stat))
        .route(sandboxd::MOVE, post(transfer::rename))
        .route(sandboxd::COPY, post(transfer::copy))
        .route(sandboxd::EDIT, post(edit::edit))
        .route(sandboxd::SEARCH, post(search::search))
        .route(&below(sandboxd::WATCH), get(watch::watch))
        .route(&below(sandboxd::CHANGES), get(watch::changes))
        .with_state(workspace)
}

impl Workspace {
    /// The path that a request names, from the raw URL, whose path begins with `prefix`.
    fn requested(&self, uri: &Uri, prefix: &str) -> Result<FilePath, Error> {
        let encoded = uri.path().strip_prefix(prefix).unwrap_or_default();
        Ok(FilePath::from_url(encoded, &self.file_roots)?)
    }
}

/// Runs `work`, whose system calls may block, on the blocking pool. `lost` makes the error for work
/// that did not finish because the server is shutting down.
async fn blocking<T: Send + 'static>(
    lost: fn(io::Error) -> Error,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(lost(io::Error::other(e))),
    }
}

/// Runs `work` as [`blocking`] does, with a function that tells whether the future was dropped
/// meanwhile, which it is when the client leaves.
async fn cancellable<T: Send + 'static>(
    lost: fn(io::Error) -> Error,
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (waits, is_waited_for) = oneshot::channel::<()>();
    let result = blocking(lost, move || work(&|| waits.is_closed())).await;
    drop(is_waited_for);
    result
}

/// As [`path_error`], for operations on files and directories alike: what is missing is 404.
fn entry_error(path: &FilePath, errno: Errno, other: fn(io::Error) -> Error) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::NoEntry(path.to_string()),
        errno => path_error(path, errno, other),
    }
}

/// The error for a path that could not be resolved, or for what it led to. `other` makes the error
/// for every fault that is neither the path's nor the client's.
fn path_error(path: &FilePath, errno: Errno, other: fn(io::Error) -> Error) -> Error {
    match errno {
        Errno::XDEV => {
            let root = path.root();
            Invalid::outside(format!("{path} must resolve to a location within {root}")).into()
        }
        Errno::ISDIR => Error::IsDirectory(path.to_string()),
        Errno::NAMETOOLONG => Invalid::request("path is too long").into(),
        Errno::LOOP => Invalid::request(format!("{path} leads through too many symbolic links")).into(),
        Errno::ACCESS | Errno::PERM => Error::Denied(path.to_string()),
        errno => other(errno.into()),
    }
}
