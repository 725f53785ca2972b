//! A directory that a walk is in. Directories far above the deepest one are closed meanwhile, and
//! opened again.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, Mode, Statx, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::paths::status;
use crate::paths::{DIRECTORY, Descent, components, pin_directory};

/// A directory whose entries are being read.
pub(super) struct Level {
    /// `None` while it is closed, and when it cannot be found again.
    pub entries: Option<Dir>,
    /// The kernel's offset to continue reading at.
    pub offset: i64,
    /// The length of the directory's name, its slash included.
    pub name_length: usize,
    identity: Identity,
}

/// Inode, and the device's major and minor number.
type Identity = (u64, u32, u32);

impl Level {
    /// Starts to read `directory`, with this `status` and a name of `name_length` bytes.
    pub(super) fn new(directory: OwnedFd, status: &Statx, name_length: usize) -> Result<Self, Errno> {
        Ok(Self {
            entries: Some(Dir::new(directory)?),
            offset: 0,
            name_length,
            identity: identity(status),
        })
    }

    /// Opens the directory again if it is closed: as the parent of `below`, or else by its `name`
    /// from `top`. A directory that was moved stays closed.
    pub(super) fn reopen(&mut self, below: &Self, top: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        if self.entries.is_some() {
            return Ok(());
        }
        let parent = |below: &Dir| openat(below.fd()?, "..", DIRECTORY, Mode::empty());
        let parent = below.entries.as_ref().map(parent);
        let mut found = parent.map_or(Ok(None), |parent| self.same(parent))?;
        if found.is_none() {
            let names: Vec<_> = components(name).collect();
            let mut way = Descent::new(fcntl_dupfd_cloexec(top, 0)?);
            let named = way.go(&names, pin_directory).map_err(|(_, errno)| errno);
            found = self.same(named.and_then(|named| openat(named, ".", DIRECTORY, Mode::empty())))?;
        }
        if let Some(directory) = found {
            let mut entries = Dir::new(directory)?;
            entries.seek(self.offset)?;
            self.entries = Some(entries);
        }
        Ok(())
    }

    /// Returns `opened` if it is this directory; `None` when it is something else, or gone.
    fn same(&self, opened: Result<OwnedFd, Errno>) -> Result<Option<OwnedFd>, Errno> {
        let opened = match opened {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            opened => opened?,
        };
        let is_same = identity(&status(opened.as_fd(), c"")?) == self.identity;
        Ok(is_same.then_some(opened))
    }
}

fn identity(status: &Statx) -> Identity {
    (status.stx_ino, status.stx_dev_major, status.stx_dev_minor)
}
