//! A copy of a tree of any depth into a new, empty directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{FileType, Mode, fstat, mkdirat, openat};
use rustix::io::Errno;

use super::copy::{Copies, create_file};
use crate::paths::{DIRECTORY, Descent, FILE, Walk, components, pin_directory, reopen_directory};
use crate::workspace::is_temporary;

/// A copy that is being made. Directories are writable for the server alone until all that is in
/// them is copied.
pub(super) struct CopyTree<'c> {
    copies: &'c Copies<'c>,
    walk: Walk,
    copy: Descent,
    /// The directories that are being copied, with the length of the path of each.
    open: Vec<(std::fs::Metadata, Vec<u8>)>,
    /// Device and inode of the copy, which may be below the original.
    own: (u64, u64),
    skipped: u64,
}

impl<'c> CopyTree<'c> {
    /// A copy of the directory `source`, open for reading, in `copy`, which is empty.
    pub(super) fn new(copies: &'c Copies<'c>, source: OwnedFd, copy: OwnedFd) -> io::Result<Self> {
        let own = fstat(&copy)?;
        let metadata = File::from(source.try_clone()?).metadata()?;
        Ok(Self {
            copies,
            walk: Walk::new(source)?,
            copy: Descent::new(copy),
            open: vec![(metadata, Vec::new())],
            own: (own.st_dev, own.st_ino),
            skipped: 0,
        })
    }

    /// Copies everything. Returns the number of sockets and devices, which are left out.
    ///
    /// Errors: `INVAL` when the copy is in its own original.
    pub(super) fn run(mut self) -> io::Result<u64> {
        loop {
            if (self.copies.is_cancelled)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Some(step) = self.walk.next() else {
                break;
            };
            let step = step?;
            let depth = step.depth;
            while self.open.len() > depth {
                close(self.copies, &mut self.copy, self.open.pop())?;
            }
            if is_temporary(step.name.to_bytes()) && is_own(step.directory, step.name, self.own)? {
                return Err(Errno::INVAL.into());
            }
            let parent = self
                .open
                .last()
                .map(|(_, path)| path.as_slice())
                .unwrap_or_default();
            let names: Vec<_> = components(parent).collect();
            let to = self.copy.go(&names, pin_directory).map_err(|(_, errno)| errno)?;
            let from = (step.directory, step.name);
            match step.file_type()? {
                FileType::Directory => {
                    let opened = match openat(from.0, from.1, DIRECTORY, Mode::empty()) {
                        // Gone, or replaced.
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                        opened => File::from(opened?),
                    };
                    mkdirat(to, from.1, Mode::RWXU)?;
                    let path = [parent, from.1.to_bytes(), b"/"].concat();
                    self.open.push((opened.metadata()?, path));
                    self.walk.enter()?;
                }
                FileType::RegularFile => {
                    let read = match openat(from.0, from.1, FILE, Mode::empty()) {
                        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => continue,
                        read => File::from(read?),
                    };
                    if read.metadata()?.is_file() {
                        self.copies.copy_file(&read, &create_file(to, from.1)?)?;
                    } else {
                        self.skipped += 1;
                    }
                }
                FileType::Symlink | FileType::Fifo => {
                    match self.copies.copy_special(from.0, from.1, to, from.1) {
                        Ok(true) | Err(Errno::NOENT) => {}
                        Ok(false) => self.skipped += 1,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                _ => self.skipped += 1,
            }
        }
        while let Some(directory) = self.open.pop() {
            close(self.copies, &mut self.copy, Some(directory))?;
        }
        Ok(self.skipped)
    }
}

/// Gives a copied directory its attributes.
fn close(
    copies: &Copies<'_>,
    copy: &mut Descent,
    directory: Option<(std::fs::Metadata, Vec<u8>)>,
) -> io::Result<()> {
    let Some((metadata, path)) = directory else {
        return Ok(());
    };
    let names: Vec<_> = components(&path).collect();
    let made = copy.go(&names, pin_directory).map_err(|(_, errno)| errno)?;
    copies.set_attributes(&metadata, &reopen_directory(made)?.into())
}

/// Whether `name` in a directory is the copy itself.
fn is_own(
    directory: std::os::fd::BorrowedFd<'_>,
    name: &std::ffi::CStr,
    own: (u64, u64),
) -> io::Result<bool> {
    let Ok(found) = pin_directory(directory, OsStr::from_bytes(name.to_bytes())) else {
        return Ok(false);
    };
    let found = fstat(found.as_fd())?;
    Ok((found.st_dev, found.st_ino) == own)
}
