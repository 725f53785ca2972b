//! A file that is being uploaded: a temporary file beside the target until it is complete; or the
//! target itself, which is truncated when the first bytes arrive.

use std::fs::{File, Metadata};
use std::io::{self, IoSlice, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchmod, fstat, ftruncate, renameat, unlinkat};
use rustix::io::Errno;
use sandbox_protocol::file::FileMode;
use sandbox_protocol::{FilePath, Invalid, WriteOptions};

use super::locks::Key;
use super::path_error;
use super::preconditions::Preconditions;
use super::temporary::{create_temporary, flush, write_slices};
use super::transfer::is_same;
use super::validators::Validators;
use super::workspace::Workspace;
use crate::error::Error;
use crate::paths::{Entry, Last, chown_if_permitted, pin, reopen};

/// The mode of a new file. An existing one keeps its own.
const NEW_FILE: u32 = 0o644;

/// The request of an upload.
#[derive(Debug, Clone)]
pub(super) struct UploadRequest {
    pub path: FilePath,
    pub options: WriteOptions,
    pub preconditions: Preconditions,
}

/// An incomplete upload. Dropping it removes its temporary file. Its calls may block.
#[derive(Debug)]
pub(super) struct Upload {
    workspace: Arc<Workspace>,
    request: UploadRequest,
    entry: Entry,
    file: File,
    target: Target,
}

/// The file that the bytes go to.
#[derive(Debug)]
enum Target {
    /// A file with this name, in the directory of `entry`, to be renamed or appended.
    Temporary(String),
    /// The existing file, which still has its old bytes.
    Existing,
    /// The existing file, truncated; or a new one that has its name.
    Final,
}

impl Upload {
    /// Creates the temporary file for an upload, and the directories above it that are missing. In
    /// place, it opens the file that is there.
    pub(super) fn create(workspace: Arc<Workspace>, request: UploadRequest) -> Result<Self, Error> {
        let path = &request.path;
        let refused = |errno| match errno {
            Errno::NOTDIR => Invalid::request(format!("{path}: a parent is not a directory")).into(),
            Errno::TXTBSY => Invalid::request(format!("{path} is a program that runs")).into(),
            errno => path_error(path, errno, Error::Write),
        };
        if request.preconditions != Preconditions::default() {
            // Before directories are made for it.
            let found = match workspace.roots.find(path, Last::Follow) {
                Err(Errno::NOENT) => None,
                found => Some(found.map_err(refused)?),
            };
            request
                .preconditions
                .check(&workspace, path.as_str(), found.as_ref())?;
        }
        let entry = workspace.roots.target(path, workspace.owner, Last::Follow);
        let entry = entry.map_err(refused)?;
        if let Some(found) = &entry.found {
            let found = found.metadata().map_err(Error::Write)?;
            check_file(path, &found)?;
            let changes_it = request.options.in_place || request.options.append;
            if changes_it && workspace.owner.is_some_and(|owner| !may_write(owner, &found)) {
                return Err(refused(Errno::ACCESS));
            }
        }
        request
            .preconditions
            .check(&workspace, path.as_str(), entry.found.as_ref())?;
        let is_in_place = request.options.in_place && !request.options.append;
        let existing = entry.found.as_ref().filter(|_| is_in_place);
        let (file, target) = match existing {
            Some(found) => reopen(found, OFlags::WRONLY).map(|file| (file, Target::Existing)),
            None => create_temporary(&entry.directory).map(|(file, name)| (file, Target::Temporary(name))),
        }
        .map_err(refused)?;
        Ok(Self {
            workspace,
            request,
            entry,
            file,
            target,
        })
    }

    /// Writes `blocks`, in order.
    pub(super) fn write(mut self, blocks: &[Bytes]) -> Result<Self, Error> {
        self.truncate()?;
        let mut slices: Vec<_> = blocks.iter().map(|block| IoSlice::new(block)).collect();
        write_slices(&self.file, &mut slices).map_err(Error::from_errno)?;
        Ok(self)
    }

    /// Removes the old bytes of an existing file, once, and its set-id bits, which were meant for
    /// the old content.
    fn truncate(&mut self) -> Result<(), Error> {
        if !matches!(self.target, Target::Existing) {
            return Ok(());
        }
        let failed = |errno: Errno| Error::Write(errno.into());
        let workspace = Arc::clone(&self.workspace);
        let _lock = workspace.locks.lock(vec![Key::new(&self.entry).map_err(failed)?]);
        // Another client with the same conditions may have been faster.
        if let Some(found) = self.find_again()?
            && !is_same(&self.file, Some(&found))?
        {
            return Err(Error::Precondition(self.request.path.to_string()));
        }
        let mode = Mode::from_raw_mode(fstat(&self.file).map_err(failed)?.st_mode);
        if mode.intersects(Mode::SUID | Mode::SGID) {
            match fchmod(&self.file, mode & (Mode::RWXU | Mode::RWXG | Mode::RWXO)) {
                // A file of another owner: the kernel takes the bits off when it is truncated.
                Ok(()) | Err(Errno::PERM) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        ftruncate(&self.file, 0).map_err(failed)?;
        self.target = Target::Final;
        Ok(())
    }

    /// Makes the temporary file the target: mode and owner, then the name. A process that has the
    /// old file open keeps it. A file that was written in place has its name already. Returns the
    /// validators of the new version.
    pub(super) fn commit(mut self) -> Result<Validators, Error> {
        let path = self.request.path.clone();
        let failed = |errno| match errno {
            Errno::ISDIR => Error::IsDirectory(path.to_string()),
            errno => Error::Write(errno.into()),
        };
        self.truncate()?;
        let is_temporary = matches!(self.target, Target::Temporary(_));
        if is_temporary {
            self.set_attributes().map_err(failed)?;
        } else if let Some(mode) = self.request.options.mode {
            fchmod(&self.file, Mode::from_raw_mode(mode.bits())).map_err(failed)?;
        }
        self.flush().map_err(failed)?;
        let workspace = Arc::clone(&self.workspace);
        workspace.unique_mtimes.set(&self.file);
        let _lock = workspace.locks.lock(vec![Key::new(&self.entry).map_err(failed)?]);
        if let Target::Temporary(temporary) = &self.target {
            let found = self.find_again()?;
            let Entry { directory, name, .. } = &self.entry;
            match found {
                Some(found) if self.request.options.append => {
                    let appended = self.append_to(&found)?;
                    return validators(&workspace, &appended);
                }
                _ => {
                    let replaces = self.entry.found.is_some();
                    workspace.renames.note(temporary, replaces);
                    renameat(directory, temporary, directory, name).map_err(failed)?;
                }
            }
            self.target = Target::Final;
        }
        validators(&workspace, &self.file)
    }

    /// Pins the file that has the name now, and checks the conditions, where the request depends on
    /// it.
    fn find_again(&self) -> Result<Option<File>, Error> {
        let UploadRequest {
            path,
            options,
            preconditions,
        } = &self.request;
        if !options.append && *preconditions == Preconditions::default() {
            return Ok(None);
        }
        let found = match pin(self.entry.directory.as_fd(), &self.entry.name) {
            Err(Errno::NOENT) => None,
            found => Some(File::from(found.map_err(|errno| Error::Write(errno.into()))?)),
        };
        preconditions.check(&self.workspace, path.as_str(), found.as_ref())?;
        Ok(found)
    }

    /// Adds the bytes of the temporary file to the end of another one: all, or none.
    fn append_to(&self, found: &File) -> Result<File, Error> {
        let path = &self.request.path;
        let metadata = found.metadata().map_err(Error::Write)?;
        check_file(path, &metadata)?;
        if self
            .workspace
            .owner
            .is_some_and(|owner| !may_write(owner, &metadata))
        {
            return Err(Error::Denied(path.to_string()));
        }
        let refused = |errno| path_error(path, errno, Error::Write);
        let mut file = reopen(found, OFlags::WRONLY | OFlags::APPEND).map_err(refused)?;
        let length = file.metadata().map_err(Error::Write)?.len();
        let appended = (&self.file)
            .rewind()
            .and_then(|()| io::copy(&mut &self.file, &mut file))
            .and_then(|_| self.finish_append(&file));
        if let Err(e) = appended {
            // Fails on a file system that cannot write any more.
            let _ = ftruncate(&file, length);
            return Err(Error::Write(e));
        }
        self.workspace.unique_mtimes.set(&file);
        Ok(file)
    }

    fn finish_append(&self, file: &File) -> io::Result<()> {
        if let Some(mode) = self.request.options.mode {
            fchmod(file, Mode::from_raw_mode(mode.bits()))?;
        }
        Ok(flush(file)?)
    }

    /// Sets mode and owner: those of the file that is replaced, or those of a new one. Set-id bits
    /// are removed, as by any write: they were meant for the old content.
    fn set_attributes(&self) -> Result<(), Errno> {
        let found = self.entry.found.as_ref().map(File::metadata).transpose();
        let found = found.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let owner = found
            .as_ref()
            .map(|found| (Uid::from_raw(found.uid()), Gid::from_raw(found.gid())))
            .or(self.workspace.owner);
        if let Some(owner) = owner {
            chown_if_permitted(&self.file, owner)?;
        }
        let mode = found.map_or(NEW_FILE, |found| found.mode() & 0o777);
        let mode = self.request.options.mode.map_or(mode, FileMode::bits);
        fchmod(&self.file, Mode::from_raw_mode(mode))
    }

    fn flush(&self) -> Result<(), Errno> {
        flush(&self.file)
    }
}

fn validators(workspace: &Workspace, file: &File) -> Result<Validators, Error> {
    let metadata = file.metadata().map_err(Error::Write)?;
    Ok(Validators::new(
        &metadata,
        SystemTime::now(),
        &workspace.unique_mtimes,
    ))
}

/// Error: this is no regular file.
pub(super) fn check_file(path: &FilePath, found: &Metadata) -> Result<(), Error> {
    if found.is_dir() {
        return Err(Error::IsDirectory(path.to_string()));
    }
    if !found.is_file() {
        return Err(Invalid::request(format!("{path} is not a regular file")).into());
    }
    Ok(())
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Target::Temporary(temporary) = &self.target else {
            return;
        };
        if let Err(e) = unlinkat(&self.entry.directory, temporary, AtFlags::empty()) {
            tracing::warn!(error = %e, "a temporary file of an upload is left");
        }
    }
}

/// Whether the commands' user could write this file itself. A command may have made a hard link to
/// another user's file from outside the workspace; the number of links does not tell, as the
/// command may remove its own meanwhile. Access control lists are not read.
pub(super) fn may_write((uid, gid): (Uid, Gid), found: &Metadata) -> bool {
    let write = if found.gid() == gid.as_raw() {
        Mode::WGRP
    } else {
        Mode::WOTH
    };
    found.uid() == uid.as_raw() || Mode::from_raw_mode(found.mode()).contains(write)
}
