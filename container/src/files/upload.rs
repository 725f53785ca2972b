//! A file that is being uploaded: a temporary file beside the target until it is complete; or the
//! target itself, which is truncated when the first bytes arrive.

use std::fs::{File, Metadata};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, fchmod, fstat, fstatfs, fsync, ftruncate, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use sandbox_protocol::{Invalid, WorkspacePath, WriteOptions};

use super::path_error;
use super::workspace::Workspace;
use crate::error::Error;
use crate::paths::{Entry, give, reopen};
use crate::random::random_name;

/// The mode of a new file. An existing one keeps its own.
const NEW_FILE: u32 = 0o644;

/// The prefix of the names of incomplete files.
pub(crate) const TEMPORARY: &str = ".sandbar-upload-";

/// An incomplete upload. Dropping it removes its temporary file. Its calls may block.
#[derive(Debug)]
pub(super) struct Upload {
    path: WorkspacePath,
    entry: Entry,
    owner: Option<(Uid, Gid)>,
    file: File,
    target: Target,
}

/// The file that the bytes go to.
#[derive(Debug)]
enum Target {
    /// A file with this name, in the directory of `entry`, to be renamed.
    Temporary(String),
    /// The existing file, which still has its old bytes.
    Existing,
    /// The existing file, truncated; or a new one that has its name.
    Final,
}

impl Upload {
    /// Creates the temporary file for an upload to `path`, and the directories above it that are
    /// missing. In place, it opens the file that is there.
    pub(super) fn create(
        workspace: &Workspace,
        path: WorkspacePath,
        options: WriteOptions,
    ) -> Result<Self, Error> {
        let refused = |errno| match errno {
            Errno::NOTDIR => Invalid::request(format!("{path}: a parent is not a directory")).into(),
            Errno::TXTBSY => Invalid::request(format!("{path} is a program that runs")).into(),
            errno => path_error(&path, errno, Error::Write),
        };
        let entry = workspace.root.entry(&path, workspace.owner).map_err(refused)?;
        if let Some(found) = &entry.found {
            let found = found.metadata().map_err(Error::Write)?;
            if found.is_dir() {
                return Err(Error::IsDirectory(path.to_string()));
            }
            if !found.is_file() {
                return Err(Invalid::request(format!("{path} is not a regular file")).into());
            }
            if options.in_place && workspace.owner.is_some_and(|owner| !may_write(owner, &found)) {
                return Err(refused(Errno::ACCESS));
            }
        }
        let existing = entry.found.as_ref().filter(|_| options.in_place);
        let (file, target) = match existing {
            Some(found) => reopen(found, OFlags::WRONLY).map(|file| (file, Target::Existing)),
            None => create_temporary(&entry.directory).map(|(file, name)| (file, Target::Temporary(name))),
        }
        .map_err(refused)?;
        Ok(Self {
            path,
            entry,
            owner: workspace.owner,
            file,
            target,
        })
    }

    /// Appends `blocks`, in order.
    pub(super) fn append(mut self, blocks: &[Bytes]) -> Result<Self, Error> {
        self.truncate().map_err(|errno| Error::Write(errno.into()))?;
        let mut slices: Vec<_> = blocks.iter().map(|block| IoSlice::new(block)).collect();
        let mut rest = slices.as_mut_slice();
        // Empty slices at the front would make a complete write look like one without progress.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::writev(&self.file, rest) {
                Ok(0) => return Err(Error::Write(io::ErrorKind::WriteZero.into())),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::Write(e.into())),
            }
        }
        Ok(self)
    }

    /// Removes the old bytes of an existing file, once, and its set-id bits, which were meant for
    /// the old content.
    fn truncate(&mut self) -> Result<(), Errno> {
        if matches!(self.target, Target::Existing) {
            let mode = Mode::from_raw_mode(fstat(&self.file)?.st_mode);
            if mode.intersects(Mode::SUID | Mode::SGID) {
                match fchmod(&self.file, mode & (Mode::RWXU | Mode::RWXG | Mode::RWXO)) {
                    // A file of another owner: the kernel takes the bits off when it is truncated.
                    Ok(()) | Err(Errno::PERM) => {}
                    Err(e) => return Err(e),
                }
            }
            ftruncate(&self.file, 0)?;
            self.target = Target::Final;
        }
        Ok(())
    }

    /// Makes the temporary file the target: mode and owner, then the name. A process that has the
    /// old file open keeps it. A file that was written in place has its name already.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        self.truncate()
            .and_then(|()| match &self.target {
                Target::Temporary(temporary) => {
                    self.set_attributes()?;
                    self.flush()?;
                    let Entry { directory, name, .. } = &self.entry;
                    renameat(directory, temporary, directory, name)
                }
                Target::Existing | Target::Final => self.flush(),
            })
            .map_err(|errno| match errno {
                Errno::ISDIR => Error::IsDirectory(self.path.to_string()),
                errno => Error::Write(errno.into()),
            })?;
        self.target = Target::Final;
        Ok(())
    }

    /// Sets mode and owner: those of the file that is replaced, or those of a new one. Set-id bits
    /// are removed, as by any write: they were meant for the old content.
    fn set_attributes(&self) -> Result<(), Errno> {
        let found = self.entry.found.as_ref().map(File::metadata).transpose();
        let found = found.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let owner = found
            .as_ref()
            .map(|found| (Uid::from_raw(found.uid()), Gid::from_raw(found.gid())))
            .or(self.owner);
        if let Some(owner) = owner {
            give(&self.file, owner)?;
        }
        let mode = found.map_or(NEW_FILE, |found| found.mode() & 0o777);
        fchmod(&self.file, Mode::from_raw_mode(mode))
    }

    fn flush(&self) -> Result<(), Errno> {
        // s3fs uploads the bytes when the file is closed, and `close` would not report an error.
        if is_on_fuse(&self.file)? {
            fsync(&self.file)
        } else {
            Ok(())
        }
    }
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
fn may_write((uid, gid): (Uid, Gid), found: &Metadata) -> bool {
    let write = if found.gid() == gid.as_raw() {
        Mode::WGRP
    } else {
        Mode::WOTH
    };
    found.uid() == uid.as_raw() || Mode::from_raw_mode(found.mode()).contains(write)
}

/// A new file that only the server can read, and its name in `directory`.
fn create_temporary(directory: impl AsFd) -> Result<(File, String), Errno> {
    let name = temporary_name()?;
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(directory, &name, create, Mode::from_raw_mode(0o600))?;
    Ok((file.into(), name))
}

fn is_on_fuse(file: &File) -> Result<bool, Errno> {
    const FUSE_SUPER_MAGIC: i128 = 0x6573_5546;
    // The type of the field differs between architectures.
    Ok(i128::from(fstatfs(file)?.f_type) == FUSE_SUPER_MAGIC)
}

/// A new name for an incomplete file.
pub(crate) fn temporary_name() -> Result<String, Errno> {
    random_name(TEMPORARY)
}
