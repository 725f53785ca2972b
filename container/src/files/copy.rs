//! A copy of a file or of a tree, under a temporary name beside its target until it is whole.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, mkdirat, mknodat,
    openat, readlinkat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use sandbox_protocol::file::Transferred;
use sandbox_protocol::{FilePath, Invalid};

use super::temporary::{create_temporary, flush, temporary_name};
use super::transfer::rename_name;
use super::tree::CopyTree;
use super::workspace::Workspace;
use super::{entry_error, path_error};
use crate::error::Error;
use crate::paths::{self, Entry, chown_if_permitted, chown_new, reopen, reopen_directory, status};

/// How copies are made.
pub(super) struct Copies<'c> {
    pub workspace: &'c Workspace,
    pub is_cancelled: &'c dyn Fn() -> bool,
    /// Whether a copy has the times of its original.
    pub keeps_times: bool,
}

/// A whole copy, which has a temporary name. Dropping it removes it.
pub(super) struct Copy<'c> {
    workspace: &'c Workspace,
    target: &'c Entry,
    temporary: Option<String>,
    skipped: u64,
}

impl<'c> Copies<'c> {
    /// Copies what was `found` at `from`, a file, a directory or a link, beside `target`.
    pub(super) fn make(&self, from: &FilePath, found: &File, target: &'c Entry) -> Result<Copy<'c>, Error> {
        let metadata = found.metadata().map_err(Error::Read)?;
        let file_type = FileType::from_raw_mode(metadata.mode());
        let mut copy = Copy {
            workspace: self.workspace,
            target,
            temporary: None,
            skipped: 0,
        };
        let directory = target.directory.as_fd();
        match file_type {
            FileType::RegularFile => {
                let read = reopen(found, OFlags::RDONLY);
                let read = read.map_err(|errno| path_error(from, errno, Error::Read))?;
                let (file, name) = create_temporary(directory).map_err(Error::from_errno)?;
                copy.temporary = Some(name);
                self.copy_file(&read, &file).map_err(Error::Write)?;
            }
            FileType::Directory => {
                let source = reopen_directory(found.as_fd());
                let source = source.map_err(|errno| entry_error(from, errno, Error::Read))?;
                let name = temporary_name().map_err(Error::from_errno)?;
                mkdirat(directory, &name, Mode::RWXU).map_err(Error::from_errno)?;
                copy.temporary = Some(name.clone());
                let made = paths::pin_directory(directory, name.as_ref()).map_err(Error::from_errno)?;
                copy.skipped = CopyTree::new(self, source, made)
                    .and_then(CopyTree::run)
                    .map_err(|e| self.tree_error(from, e))?;
            }
            FileType::Symlink | FileType::Fifo => {
                let name = temporary_name().map_err(Error::from_errno)?;
                let name = CString::new(name).map_err(|e| Error::Write(e.into()))?;
                self.copy_special(found.as_fd(), c"", directory, &name)
                    .map_err(Error::from_errno)?;
                copy.temporary = name.into_string().ok();
            }
            _ => return Err(Invalid::request(format!("{from} is not a regular file")).into()),
        }
        Ok(copy)
    }

    fn tree_error(&self, from: &FilePath, e: io::Error) -> Error {
        match Errno::from_io_error(&e) {
            Some(Errno::INVAL) => Invalid::request(format!("{from} cannot be copied into itself")).into(),
            Some(Errno::ACCESS | Errno::PERM) => Error::Denied(from.to_string()),
            _ => Error::Write(e),
        }
    }

    /// Copies data, permissions and owner of a file to a new one.
    pub(super) fn copy_file(&self, from: &File, to: &File) -> io::Result<()> {
        paths::copy(from, to, self.is_cancelled)?;
        self.set_attributes(&from.metadata()?, to)?;
        flush(to)?;
        if !self.keeps_times {
            self.workspace.unique_mtimes.set(to);
        }
        Ok(())
    }

    /// Gives a copied file or directory its owner and its permissions, without set-id bits.
    pub(super) fn set_attributes(&self, from: &std::fs::Metadata, to: &File) -> io::Result<()> {
        if let Some(owner) = self.workspace.owner {
            chown_if_permitted(to, owner)?;
        }
        fchmod(to, Mode::from_raw_mode(from.mode() & 0o777))?;
        if self.keeps_times {
            futimens(to, &modified((from.mtime(), from.mtime_nsec())))?;
        }
        Ok(())
    }

    /// Copies a link or a FIFO. Returns whether it was one.
    pub(super) fn copy_special(
        &self,
        from: BorrowedFd<'_>,
        name: &CStr,
        to: BorrowedFd<'_>,
        new_name: &CStr,
    ) -> Result<bool, Errno> {
        let status = status(from, name)?;
        match FileType::from_raw_mode(status.stx_mode.into()) {
            FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?, to, new_name)?,
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(u32::from(status.stx_mode) & 0o777);
                mknodat(to, new_name, FileType::Fifo, mode, 0)?;
            }
            _ => return Ok(false),
        }
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        if let Some(owner) = self.workspace.owner {
            chown_new(to, OsStr::from_bytes(new_name.to_bytes()), owner)?;
        }
        if self.keeps_times {
            let time = (status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec.into());
            utimensat(to, new_name, &modified(time), itself)?;
        }
        Ok(true)
    }
}

/// The time of modification alone.
fn modified((seconds, nanoseconds): (i64, i64)) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        },
    }
}

impl Copy<'_> {
    /// Whether sockets or devices are missing in it.
    pub(super) fn has_skipped(&self) -> bool {
        self.skipped > 0
    }

    /// Gives the copy the name of its target, which clients know as `path`.
    pub(super) fn rename_to(mut self, path: &FilePath, overwrite: bool) -> Result<Transferred, Error> {
        if let Some(temporary) = &self.temporary {
            let replaces = self.target.found.is_some();
            self.workspace.renames.note(temporary, replaces);
            let renamed = rename_name(
                &self.target.directory,
                OsStr::from_bytes(temporary.as_bytes()),
                self.target,
                overwrite,
            );
            renamed.map_err(|errno| match errno {
                Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR => {
                    Error::FileExists(path.to_string())
                }
                errno => path_error(path, errno, Error::Write),
            })?;
        }
        self.temporary = None;
        Ok(Transferred {
            skipped: Some(self.skipped).filter(|skipped| *skipped > 0),
            ..Transferred::default()
        })
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        let Some(temporary) = &self.temporary else {
            return;
        };
        let directory = &self.target.directory;
        let removed = match unlinkat(directory, temporary, AtFlags::empty()) {
            Err(Errno::ISDIR) => remove_tree::remove_tree(directory, temporary),
            removed => removed.map_err(io::Error::from),
        };
        if let Err(e) = removed {
            tracing::warn!(error = %e, "an incomplete copy is left");
        }
    }
}

/// Opens a new file that only the server can read.
pub(super) fn create_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<File, Errno> {
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(directory, name, create, Mode::from_raw_mode(0o600)).map(File::from)
}
