//! `POST /move` and `POST /copy`.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, unlinkat};
use rustix::io::Errno;
use sandbox_protocol::file::{CopyRequest, MAX_BODY, MoveRequest, Transferred};
use sandbox_protocol::{FilePath, Invalid};

use super::copy::{Copies, Copy};
use super::delete::remove_tree;
use super::locks::Key;
use super::workspace::Workspace;
use super::{cancellable, entry_error};
use crate::error::Error;
use crate::paths::{Entry, Last, pin};
use crate::{body, heartbeat};

/// Answers `POST /move` once the new path leads to what was at the old one. A link is moved itself.
pub(super) async fn rename(
    State(workspace): State<Arc<Workspace>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &workspace.buffers).await?;
    let request = MoveRequest::parse(&body, &workspace.file_roots)?;
    let moved = cancellable(Error::Write, move |is_cancelled| {
        Move::find(&workspace, &request)?.run(is_cancelled)
    });
    Ok(heartbeat::json(moved).await)
}

/// Answers `POST /copy` once the new path leads to a whole copy. A link is followed; those in a
/// directory are copied as links.
pub(super) async fn copy(
    State(workspace): State<Arc<Workspace>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &workspace.buffers).await?;
    let request = CopyRequest::parse(&body, &workspace.file_roots)?;
    let permit = request.recursive.then(|| workspace.walks.take()).transpose()?;
    let copied = cancellable(Error::Write, move |is_cancelled| {
        let _permit = permit;
        let MoveRequest { from, to, overwrite } = &request.paths;
        let found = workspace.roots.find(from, Last::Follow);
        let found = found.map_err(|errno| entry_error(from, errno, Error::Read))?;
        let is_directory = found.metadata().map_err(Error::Read)?.is_dir();
        if is_directory && !request.recursive {
            return Err(Error::IsDirectory(from.to_string()));
        }
        if is_directory && to.is_below(from) {
            return Err(Invalid::request(format!("{from} cannot be copied into itself")).into());
        }
        let target = target(&workspace, to, Last::Follow)?;
        if *overwrite && is_same(&found, target.found.as_ref())? {
            return Ok(Transferred::default());
        }
        check_overwrite(to, &target, is_directory, *overwrite)?;
        let copies = Copies {
            workspace: &workspace,
            is_cancelled,
            keeps_times: false,
        };
        let copy = copies.make(from, &found, &target)?;
        let keys = vec![Key::new(&target).map_err(Error::from_errno)?];
        let _lock = workspace.locks.lock(keys);
        copy.rename_to(to, *overwrite)
    });
    Ok(heartbeat::json(copied).await)
}

/// The entry to write at `path`; missing directories above it are created.
fn target(workspace: &Workspace, path: &FilePath, last: Last) -> Result<Entry, Error> {
    let target = workspace.roots.target(path, workspace.owner, last);
    target.map_err(|errno| match errno {
        Errno::ISDIR => Invalid::request(format!("{path} is a root of files")).into(),
        Errno::NOTDIR => Invalid::request(format!("{path}: a parent is not a directory")).into(),
        errno => entry_error(path, errno, Error::Write),
    })
}

/// A move whose two ends are found.
struct Move<'m> {
    workspace: &'m Workspace,
    request: &'m MoveRequest,
    from: Entry,
    found: File,
    to: Entry,
}

impl<'m> Move<'m> {
    fn find(workspace: &'m Workspace, request: &'m MoveRequest) -> Result<Self, Error> {
        let path = &request.from;
        if path.is_root() {
            return Err(Invalid::request(format!("{path} cannot be moved: it is a root of files")).into());
        }
        let refused = |errno| entry_error(path, errno, Error::Write);
        let mut from = workspace.roots.entry(path).map_err(refused)?;
        let found = from.found.take().ok_or_else(|| refused(Errno::NOENT))?;
        // Before directories are made for it.
        if request.to.is_below(path) && found.metadata().map_err(Error::Write)?.is_dir() {
            return Err(Invalid::request(format!("{path} cannot be moved into itself")).into());
        }
        Ok(Self {
            workspace,
            request,
            from,
            found,
            to: target(workspace, &request.to, Last::Keep)?,
        })
    }

    fn run(self, is_cancelled: &dyn Fn() -> bool) -> Result<Transferred, Error> {
        let MoveRequest { to, overwrite, .. } = self.request;
        let from_key = Key::new(&self.from).map_err(Error::from_errno)?;
        let to_key = Key::new(&self.to).map_err(Error::from_errno)?;
        if from_key == to_key && *overwrite {
            return Ok(Transferred::default());
        }
        let is_directory = self.found.metadata().map_err(Error::Write)?.is_dir();
        check_overwrite(to, &self.to, is_directory, *overwrite)?;
        let lock = self.workspace.locks.lock(vec![from_key, to_key]);
        if !is_directory && *overwrite && is_same(&self.found, self.to.found.as_ref())? {
            // Two names of one file: `rename` would leave both.
            unlinkat(&self.from.directory, &self.from.name, AtFlags::empty()).map_err(Error::from_errno)?;
            return Ok(Transferred::default());
        }
        let renamed = rename_entry(&self.from, &self.to, *overwrite);
        match renamed {
            Err(Errno::XDEV) => {
                // The copy may take long.
                drop(lock);
                self.copy_and_remove(is_cancelled)
            }
            renamed => {
                renamed.map_err(|errno| self.refused(errno))?;
                Ok(Transferred::default())
            }
        }
    }

    /// Moves it to another mount.
    fn copy_and_remove(self, is_cancelled: &dyn Fn() -> bool) -> Result<Transferred, Error> {
        let MoveRequest { from, to, overwrite } = self.request;
        let _permit = self.workspace.walks.take()?;
        let copies = Copies {
            workspace: self.workspace,
            is_cancelled,
            keeps_times: true,
        };
        let version = |file: &File| {
            let status = file.metadata().map_err(Error::Write)?;
            let changed = (status.ctime(), status.ctime_nsec());
            Ok::<_, Error>((status.dev(), status.ino(), status.len(), changed))
        };
        let copied = version(&self.found)?;
        let mut copy: Copy<'_> = copies.make(from, &self.found, &self.to)?;
        if copy.has_skipped() {
            let text = format!("{from} holds sockets or devices, which cannot be moved to another mount");
            return Err(Invalid::request(text).into());
        }
        let keys = [&self.from, &self.to].map(|entry| Key::new(entry).map_err(Error::from_errno));
        let lock = self
            .workspace
            .locks
            .lock(keys.into_iter().collect::<Result<_, _>>()?);
        if self.found.metadata().map_err(Error::Write)?.is_dir() {
            let moved = copy.rename_to(to, *overwrite)?;
            drop(lock);
            remove_tree(from, &self.from, is_cancelled)?;
            return Ok(moved);
        }
        let now = pin(self.from.directory.as_fd(), self.from.name.as_os_str());
        let now = File::from(now.map_err(|errno| self.refused(errno))?);
        if version(&now)? != copied {
            // It was written meanwhile: once more, while no client can write it.
            copy = copies.make(from, &now, &self.to)?;
        }
        let moved = copy.rename_to(to, *overwrite)?;
        let name = CString::new(self.from.name.as_bytes()).map_err(|e| Error::Write(e.into()))?;
        unlinkat(&self.from.directory, &name, AtFlags::empty()).map_err(|errno| self.refused(errno))?;
        Ok(moved)
    }

    fn refused(&self, errno: Errno) -> Error {
        let MoveRequest { from, to, .. } = self.request;
        match errno {
            Errno::INVAL => Invalid::request(format!("{from} cannot be moved into itself")).into(),
            Errno::BUSY => Invalid::request(format!("{from} or {to} is a mount point")).into(),
            Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR => Error::FileExists(to.to_string()),
            Errno::NOTDIR => Error::FileExists(to.to_string()),
            errno => entry_error(from, errno, Error::Write),
        }
    }
}

/// Gives the file at `from` the name of `to`.
pub(super) fn rename_entry(from: &Entry, to: &Entry, overwrite: bool) -> Result<(), Errno> {
    rename_name(&from.directory, from.name.as_os_str(), to, overwrite)
}

/// Gives the file `name` in a directory the name of `to`.
pub(super) fn rename_name(
    directory: &std::os::fd::OwnedFd,
    name: &std::ffi::OsStr,
    to: &Entry,
    overwrite: bool,
) -> Result<(), Errno> {
    if overwrite {
        return renameat(directory, name, &to.directory, &to.name);
    }
    match renameat_with(directory, name, &to.directory, &to.name, RenameFlags::NOREPLACE) {
        // The file system, such as a bucket, does not know the flag. What is there was looked for
        // before.
        Err(Errno::INVAL | Errno::NOSYS) => renameat(directory, name, &to.directory, &to.name),
        renamed => renamed,
    }
}

/// Error: what is at the new path stays.
fn check_overwrite(
    path: &FilePath,
    target: &Entry,
    is_directory: bool,
    overwrite: bool,
) -> Result<(), Error> {
    let Some(found) = &target.found else {
        return Ok(());
    };
    let is_onto_directory = found.metadata().map_err(Error::Write)?.is_dir();
    // A directory takes the place of an empty one only, which `rename` sees to.
    if !overwrite || is_onto_directory != is_directory {
        return Err(Error::FileExists(path.to_string()));
    }
    Ok(())
}

/// Whether both are the same file.
pub(super) fn is_same(one: &File, other: Option<&File>) -> Result<bool, Error> {
    let identity = |file: &File| file.metadata().map(|status| (status.dev(), status.ino()));
    let Some(other) = other else {
        return Ok(false);
    };
    Ok(identity(one).map_err(Error::Write)? == identity(other).map_err(Error::Write)?)
}
