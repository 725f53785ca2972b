//! A directory of a tree, reached from the tree's root one name at a time, through no link.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

/// The most directories of a tree that are open at a time: the deepest ones.
pub(crate) const OPEN: usize = 64;

/// The path down from a root, of any depth. It is kept open, as a member of an archive is usually
/// near the one before.
#[derive(Debug)]
pub(crate) struct Descent {
    root: OwnedFd,
    /// The names on the path, each with a slash behind it.
    path: Vec<u8>,
    /// The number of names.
    depth: usize,
    /// The last directories on the path, at least one below the root, at most [`OPEN`].
    open: VecDeque<OwnedFd>,
}

impl Descent {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            path: Vec::new(),
            depth: 0,
            open: VecDeque::new(),
        }
    }

    /// Goes to the directory with these names. `step` opens the next directory where it is not
    /// open.
    ///
    /// Errors: those of `step`, with the number of names up to the one that failed.
    pub(crate) fn go<'d>(
        &'d mut self,
        names: &[&[u8]],
        step: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<OwnedFd, Errno>,
    ) -> Result<BorrowedFd<'d>, (usize, Errno)> {
        let common = components(&self.path)
            .zip(names)
            .take_while(|(known, name)| known == *name);
        let common = common.count();
        self.open
            .truncate((self.open.len() + common).saturating_sub(self.depth));
        if self.open.is_empty() {
            self.forget();
        } else {
            let length = names.iter().take(common).map(|name| name.len() + 1).sum();
            self.path.truncate(length);
            self.depth = common;
        }
        for (at, name) in names.iter().enumerate().skip(self.depth) {
            let next = step(self.here(), OsStr::from_bytes(name)).map_err(|errno| (at + 1, errno))?;
            if self.open.len() == OPEN {
                self.open.pop_front();
            }
            self.open.push_back(next);
            self.path.extend_from_slice(name);
            self.path.push(b'/');
            self.depth += 1;
        }
        Ok(self.here())
    }

    /// Forgets the path: its names may lead to other directories by now.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
        self.path.clear();
        self.depth = 0;
    }

    /// The directory at the end of the path.
    pub(crate) fn here(&self) -> BorrowedFd<'_> {
        self.open.back().map_or(self.root.as_fd(), AsFd::as_fd)
    }
}

/// The names in a path, without empty ones and `.`.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
}
