//! A directory of a tree, reached from the tree's root one name at a time, through no link.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;

/// Pins a directory. What is a link, or no directory, is `NOTDIR`.
const PIN: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The way down from a root. It is kept, as one member of an archive is mostly near the one before it.
#[derive(Debug)]
pub(super) struct Descent {
    root: OwnedFd,
    below: Vec<(OsString, OwnedFd)>,
}

impl Descent {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            below: Vec::new(),
        }
    }

    /// Goes to the directory with these names. Each step from one directory to the next that is not known yet is made
    /// by `step`.
    ///
    /// Errors: those of `step`, with the number of names up to where it failed.
    pub(super) fn go<'d>(
        &'d mut self,
        names: &[&[u8]],
        step: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<OwnedFd, Errno>,
    ) -> Result<BorrowedFd<'d>, (usize, Errno)> {
        let known = self
            .below
            .iter()
            .zip(names)
            .take_while(|((known, _), name)| known.as_bytes() == **name);
        let known = known.count();
        self.below.truncate(known);
        for (at, name) in names.iter().enumerate().skip(known) {
            let name = OsStr::from_bytes(name);
            let next = step(self.here(), name).map_err(|errno| (at + 1, errno))?;
            self.below.push((name.to_owned(), next));
        }
        Ok(self.here())
    }

    /// Forgets the way: names on it may lead to something else by now.
    pub(super) fn forget(&mut self) {
        self.below.clear();
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.below
            .last()
            .map_or(self.root.as_fd(), |(_, here)| here.as_fd())
    }
}

/// The directory `name` in another.
pub(super) fn pin(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(directory, name, PIN, Mode::empty())
}

/// The entries of a directory, `.` and `..` among them. It may be a pinned one.
pub(super) fn list(directory: BorrowedFd<'_>) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Dir::new(openat(directory, ".", flags, Mode::empty())?)
}
