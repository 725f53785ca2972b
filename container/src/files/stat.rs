//! `GET /stat/{path}`: an entry without its content.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use sandbox_protocol::file::Entry;
use sandbox_protocol::query::flag;
use sandbox_protocol::{FilePath, sandboxd};

use super::entry::describe;
use super::workspace::Workspace;
use super::{blocking, entry_error};
use crate::error::Error;
use crate::paths::Last;

/// Answers with the entry. A link is told as such, unless `follow` asks for what it leads to.
pub(super) async fn stat(State(workspace): State<Arc<Workspace>>, uri: Uri) -> Result<Json<Entry>, Error> {
    let path = workspace.requested(&uri, sandboxd::STAT)?;
    let last = match flag(uri.query().unwrap_or_default(), "follow")? {
        true => Last::Follow,
        false => Last::Keep,
    };
    let found = blocking(Error::Read, move || {
        let found = workspace.roots.find(&path, last);
        of_found(
            &path,
            &found.map_err(|errno| entry_error(&path, errno, Error::Read))?,
        )
    });
    found.await.map(Json)
}

/// The entry of a pinned file at `path`.
pub(super) fn of_found(path: &FilePath, found: &File) -> Result<Entry, Error> {
    describe(found.as_fd(), c"", path.to_string()).map_err(|errno| entry_error(path, errno, Error::Read))
}
