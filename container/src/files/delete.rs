//! `DELETE /file/{path}`: removes a file, a link, or a directory with everything in it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use sandbox_protocol::answer::Done;
use sandbox_protocol::query::flag;
use sandbox_protocol::{FilePath, Invalid, sandboxd};

use super::locks::Key;
use super::preconditions::Preconditions;
use super::workspace::Workspace;
use super::{cancellable, entry_error};
use crate::error::Error;
use crate::heartbeat;
use crate::paths::Entry;

/// How often the removal of a directory begins again because others write in it.
const ATTEMPTS: usize = 16;

/// Answers `{"ok":true}` once nothing is left. A link is removed itself.
pub(super) async fn delete(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let path = workspace.requested(&uri, sandboxd::FILE)?;
    let is_recursive = flag(uri.query().unwrap_or_default(), "recursive")?;
    let preconditions = Preconditions::from_headers(&headers);
    let permit = is_recursive.then(|| workspace.walks.take()).transpose()?;
    let removed = cancellable(Error::Write, move |is_cancelled| {
        let _permit = permit;
        remove(&workspace, &path, is_recursive, &preconditions, is_cancelled).map(|()| Done::default())
    });
    Ok(heartbeat::json(removed).await)
}

fn remove(
    workspace: &Workspace,
    path: &FilePath,
    is_recursive: bool,
    preconditions: &Preconditions,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), Error> {
    if path.is_root() {
        return Err(Invalid::request(format!("{path} cannot be removed: it is a root of files")).into());
    }
    let refused = |errno| entry_error(path, errno, Error::Write);
    let entry = workspace.roots.entry(path).map_err(refused)?;
    let _lock = workspace.locks.lock(vec![Key::new(&entry).map_err(refused)?]);
    preconditions.check(workspace, path.as_str(), entry.found.as_ref())?;
    let found = entry.found.as_ref().ok_or_else(|| refused(Errno::NOENT))?;
    let is_directory = found.metadata().map_err(Error::Write)?.is_dir();
    match (is_directory, is_recursive) {
        (true, false) => Err(Error::IsDirectory(path.to_string())),
        (true, true) => remove_tree(path, &entry, is_cancelled),
        (false, _) => unlinkat(&entry.directory, &entry.name, AtFlags::empty()).map_err(refused),
    }
}

/// Removes a directory with everything in it, but no mount point.
pub(super) fn remove_tree(
    path: &FilePath,
    entry: &Entry,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let name = CString::new(entry.name.as_bytes()).map_err(|e| Error::Write(e.into()))?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let removed = remove_tree::remove_tree_unless(&entry.directory, &name, is_cancelled);
        let Err(e) = removed else { return Ok(()) };
        match Errno::from_io_error(&e) {
            Some(Errno::NOTEMPTY) if attempts < ATTEMPTS => {}
            Some(Errno::XDEV | Errno::BUSY) => {
                let left = format!("{path} holds a mount point, which stays; all else in it is removed");
                return Err(Invalid::request(left).into());
            }
            Some(errno) => return Err(entry_error(path, errno, Error::Write)),
            None => return Err(Error::Write(e)),
        }
    }
}
