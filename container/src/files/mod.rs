//! Files of the workspace over HTTP: `GET`, `HEAD` and `PUT` on `/file/{path}`.
//!
//! # Theory of operation
//!
//! A request names a file by a [`WorkspacePath`], which is clean text and nothing more: what it leads to is decided
//! by symbolic links that commands in the sandbox make and change while we look. So a path is never checked and then
//! used. `contain` alone turns a path into open file descriptors that pin what was found inside the workspace, and
//! everything after works on those descriptors.
//!
//! - `contain`: path → pinned file, or pinned directory and a name in it. The only code that follows links.
//! - `read`: a pinned file → response, with `validators` (`ETag`, `Last-Modified`, conditions) and `range`.
//!   Bytes flow in bounded memory, two chunks of them.
//! - `write`: request → `upload`, a temporary file beside the target that is renamed over it once it is complete.
//!   Until then readers see the old file, and a broken upload leaves nothing.
//!
//! Every system call that can block runs on tokio's blocking pool, one short call at a time: a client that stalls
//! holds no thread.
//!
//! Errors: 400 for what is no regular file, or cannot be a path here; 403 for what lies outside the workspace, and
//! for what the server itself may not read or write (sandboxd as root may, so this is rare); 404 for what is missing.
//! A hard link is the file itself and therefore inside the workspace.

mod contain;
mod range;
mod read;
mod upload;
mod validators;
mod write;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::routing::get;
use rustix::io::Errno;
use sandbox_protocol::{Invalid, WorkspacePath, sandboxd};

pub use contain::Workspace;

pub(crate) use contain::{MAX_DEPTH, give};
pub(crate) use upload::{TEMPORARY, is_random, random_name, temporary_name};

use crate::error::Error;

/// Serves the files of `workspace` on [`sandboxd::FILE`]: the rest of a URL's path is what
/// [`WorkspacePath::to_url`] writes.
///
/// | request | answer |
/// | --- | --- |
/// | `GET`, `HEAD` | 200 (or 206, 304) with the file's bytes as `application/octet-stream` |
/// | `PUT` | 200 `{"ok":true}` when the body is the file; [`sandboxd::MAX_UPLOAD_HEADER`] bounds it |
pub fn router<S: Clone + Send + Sync + 'static>(workspace: Arc<Workspace>) -> Router<S> {
    let file = get(read::read).put(write::write);
    Router::new()
        .route(sandboxd::FILE, file.clone())
        .route(&format!("{}{{*path}}", sandboxd::FILE), file)
        .with_state(workspace)
}

/// The path that a request names. From the raw URL: axum's own decoding would let `%2F` through as a separator.
fn requested(uri: &Uri) -> Result<WorkspacePath, Error> {
    let encoded = uri.path().strip_prefix(sandboxd::FILE).unwrap_or_default();
    Ok(WorkspacePath::from_url(encoded)?)
}

/// Runs `work`, whose system calls may block, on the blocking pool. `lost` makes the error for work that never ran
/// to its end, because the server is shutting down.
async fn blocking<T: Send + 'static>(
    lost: fn(io::Error) -> Error,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(lost(io::Error::other(e))),
    }
}

/// The error for a path that could not be resolved, or for what it led to. `other` makes the error for everything
/// that is neither the path's nor the client's fault.
fn refusal(path: &WorkspacePath, errno: Errno, other: fn(io::Error) -> Error) -> Error {
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
