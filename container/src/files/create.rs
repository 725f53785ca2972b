//! `PUT /directory/{path}`: a new directory.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use sandbox_protocol::answer::True;
use sandbox_protocol::file::{DirectoryCreated, FileMode};
use sandbox_protocol::{FilePath, Invalid, query, sandboxd};

use super::workspace::Workspace;
use super::{blocking, path_error};
use crate::error::Error;
use crate::paths::{Last, Roots, make_directory};

/// The mode of a new directory.
pub(crate) const NEW_DIRECTORY: u32 = 0o755;

/// Answers once the directory and those above it exist. One that existed keeps its mode.
pub(super) async fn create(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
) -> Result<Json<DirectoryCreated>, Error> {
    let path = workspace.requested(&uri, sandboxd::DIRECTORY)?;
    let mode = query::value(uri.query().unwrap_or_default(), "mode")?;
    let mode = mode.map(|mode| FileMode::parse(&mode)).transpose()?;
    let mode = mode.map_or(NEW_DIRECTORY, FileMode::bits);
    let created = blocking(Error::Write, move || {
        make(&workspace.roots, &path, mode, workspace.owner)
    })
    .await?;
    Ok(Json(DirectoryCreated { ok: True, created }))
}

/// Makes the directory at `path` and those above it, for `owner`. Returns whether it was missing.
pub(crate) fn make(
    roots: &Roots,
    path: &FilePath,
    mode: u32,
    owner: Option<(Uid, Gid)>,
) -> Result<bool, Error> {
    if path.is_root() {
        return Ok(false);
    }
    let refused = |errno| match errno {
        Errno::NOTDIR => Invalid::request(format!("{path}: a parent is not a directory")).into(),
        Errno::EXIST => Error::FileExists(path.to_string()),
        errno => path_error(path, errno, Error::Write),
    };
    let entry = match roots.target(path, owner, Last::Follow) {
        // A link to a root.
        Err(Errno::ISDIR) => return Ok(false),
        entry => entry.map_err(refused)?,
    };
    match &entry.found {
        Some(found) if found.metadata().map_err(Error::Write)?.is_dir() => Ok(false),
        Some(_) => Err(refused(Errno::EXIST)),
        None => {
            let made = make_directory(entry.directory.as_fd(), &entry.name, mode, owner);
            made.map(|_| true).map_err(refused)
        }
    }
}
