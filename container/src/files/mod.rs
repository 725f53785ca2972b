//! Files of the workspace over HTTP: `GET`, `HEAD` and `PUT` on `/file/{path}`.
//!
//! # Theory of operation
//!
//! A request names a file by a [`WorkspacePath`], which is clean text and nothing more. Commands in
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

mod range;
mod read;
mod upload;
mod validators;
mod workspace;
mod write;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::routing::get;
use rustix::io::Errno;
use sandbox_protocol::{Invalid, WorkspacePath, sandboxd};

pub use workspace::Workspace;

pub(crate) use upload::{TEMPORARY, temporary_name};

use crate::error::Error;

/// Serves the files of `workspace` on [`sandboxd::FILE`]: the rest of a URL's path is what
/// [`WorkspacePath::to_url`] writes.
///
/// | request | answer |
/// | --- | --- |
/// | `GET`, `HEAD` | 200 (or 206, 304) with the file's bytes as `application/octet-stream` |
/// | `PUT` | 200 `{"ok":true}` when the body is the file; [`sandboxd::MAX_UPLOAD_HEADER`] bounds it, `?in_place=true` keeps the inode |
pub fn router<S: Clone + Send + Sync + 'static>(workspace: Arc<Workspace>) -> Router<S> {
    let file = get(read::read).put(write::write);
    Router::new()
        .route(sandboxd::FILE, file.clone())
        .route(&format!("{}{{*path}}", sandboxd::FILE), file)
        .with_state(workspace)
}

/// The path that a request names, from the raw URL.
fn requested(uri: &Uri) -> Result<WorkspacePath, Error> {
    let encoded = uri.path().strip_prefix(sandboxd::FILE).unwrap_or_default();
    Ok(WorkspacePath::from_url(encoded)?)
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

/// The error for a path that could not be resolved, or for what it led to. `other` makes the error
/// for every fault that is neither the path's nor the client's.
fn path_error(path: &WorkspacePath, errno: Errno, other: fn(io::Error) -> Error) -> Error {
    match errno {
        Errno::XDEV => {
            Invalid::outside(format!("{path} must resolve to a location within /workspace")).into()
        }
        Errno::ISDIR => Error::IsDirectory(path.to_string()),
        Errno::NAMETOOLONG => Invalid::request("path is too long").into(),
        Errno::LOOP => Invalid::request(format!("{path} leads through too many symbolic links")).into(),
        Errno::ACCESS | Errno::PERM => Error::Denied(path.to_string()),
        errno => other(errno.into()),
    }
}
