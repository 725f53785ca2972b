//! Replaces the entries of a directory by those of another one, all of them or none.
//!
//! The directory itself stays: it may be a mount point, and requests and processes have it open. An
//! upload that is under way in it is renamed into it later; one that is under way in a directory below
//! ends as if it had ended before.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Gid, Mode, Uid, fchmod, fchown, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::super::error::write_error;
use super::super::is_temporary;
use crate::error::Error;
use crate::paths::{DIRECTORY, make_directory, names};

/// The levels of directories of the image that are moved.
const MAX_IMAGE_LEVELS: u32 = 256;

/// The directories of a swap, all on the same mount.
pub(super) struct Swap<'s> {
    /// The directory with the new entries.
    new: BorrowedFd<'s>,
    /// An empty directory, which gets the old entries.
    trash: BorrowedFd<'s>,
    target: BorrowedFd<'s>,
    /// The entries that were moved, for the way back.
    moved: Vec<Moved>,
}

struct Moved {
    name: CString,
    is_new: bool,
}

impl<'s> Swap<'s> {
    /// Replaces the entries of `target` by those of `new`.
    pub(super) fn new(new: BorrowedFd<'s>, trash: BorrowedFd<'s>, target: BorrowedFd<'s>) -> Self {
        Self {
            new,
            trash,
            target,
            moved: Vec::new(),
        }
    }

    /// Moves the old entries to the trash, and the new ones into their place.
    ///
    /// Errors: 409 when an entry is a mount point, 507 and 502 when one cannot be moved. All are where
    /// they were then.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let moved = self.move_all(false).and_then(|()| self.move_all(true));
        moved.map_err(|(name, errno)| {
            self.roll_back();
            match errno {
                Errno::BUSY => {
                    let name = name.to_string_lossy();
                    Error::RestoreConflict(format!("{name}: something is mounted there"))
                }
                errno => write_error(name.to_bytes(), errno),
            }
        })
    }

    fn move_all(&mut self, is_new: bool) -> Result<(), (CString, Errno)> {
        let (from, to) = match is_new {
            true => (self.new, self.target),
            false => (self.target, self.trash),
        };
        let mut names = names(from).map_err(|errno| (c".".to_owned(), errno))?;
        // Uploads under way stay.
        names.retain(|name| !is_temporary(name.to_bytes()));
        for name in names {
            rename(from, to, &name, MAX_IMAGE_LEVELS).map_err(|errno| (name.clone(), errno))?;
            self.moved.push(Moved { name, is_new });
        }
        Ok(())
    }

    fn roll_back(&self) {
        for Moved { name, is_new } in self.moved.iter().rev() {
            let (from, to) = match is_new {
                true => (self.target, self.new),
                false => (self.trash, self.target),
            };
            if let Err(e) = rename_whole(from, to, name) {
                tracing::error!(name = %name.to_string_lossy(), error = %e, "an entry is not where it was");
            }
        }
    }
}

/// Moves an entry, also a directory of the image, which overlayfs does not rename.
fn rename(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, levels: u32) -> Result<(), Errno> {
    match rename_whole(from, to, name) {
        Err(Errno::XDEV) if levels > 0 => move_entries(from, to, name, levels - 1),
        renamed => renamed,
    }
}

/// Moves a directory by moving its entries into a new one. They are where they were after an error.
fn move_entries(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, levels: u32) -> Result<(), Errno> {
    let old = openat(from, name, DIRECTORY, Mode::empty())?;
    let status = fstat(&old)?;
    let new = make_directory(to, OsStr::from_bytes(name.to_bytes()), 0o700, None)?;
    let mut moved = Vec::new();
    let mut move_all = || {
        for name in names(old.as_fd())? {
            rename(old.as_fd(), new.as_fd(), &name, levels)?;
            moved.push(name);
        }
        fchown(
            &new,
            Some(Uid::from_raw(status.st_uid)),
            Some(Gid::from_raw(status.st_gid)),
        )?;
        fchmod(&new, Mode::from_raw_mode(status.st_mode))?;
        unlinkat(from, name, AtFlags::REMOVEDIR)
    };
    let Err(errno) = move_all() else {
        return Ok(());
    };
    for name in moved.iter().rev() {
        if let Err(e) = rename_whole(new.as_fd(), old.as_fd(), name) {
            tracing::error!(name = %name.to_string_lossy(), error = %e, "an entry is not where it was");
        }
    }
    let _ = unlinkat(to, name, AtFlags::REMOVEDIR);
    Err(errno)
}

/// Moves an entry by one rename. A directory that its owner may not write to gets the permission
/// meanwhile: only so can a user without privileges move it.
fn rename_whole(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match renameat(from, name, to, name) {
        Err(Errno::ACCESS) => {}
        renamed => return renamed,
    }
    let directory = openat(from, name, DIRECTORY, Mode::empty())?;
    let mode = Mode::from_raw_mode(fstat(&directory)?.st_mode);
    fchmod(&directory, mode | Mode::RWXU)?;
    let renamed = renameat(from, name, to, name);
    fchmod(&directory, mode)?;
    renamed
}
