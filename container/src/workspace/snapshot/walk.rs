//! The walk through a tree that lists it, in the order of its names.
//!
//! It opens directories only, and asks for the status of everything else by name, so that it takes
//! no more than some microseconds an entry: the processes of the sandbox may be stopped meanwhile.
//! Nothing on another mount is asked for anything, as its server may be stopped, too.

use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Mode, Statx, StatxFlags, openat, readlinkat, statx};
use rustix::io::Errno;
use sandbox_protocol::hex::hex;
use sha2::{Digest as _, Sha256};

use super::super::error::printable;
use super::super::exclude::Excludes;
use super::super::is_temporary;
use super::list::{List, Record, Status, Writer};
use crate::paths::{DIRECTORY, Descent, Mount, components, names};

/// A tree at one moment.
#[derive(Debug)]
pub(super) struct Listed {
    pub list: List,
    /// Differs from that of the same tree before any change.
    pub version: String,
    /// The latest ctime of an entry.
    pub newest: (i64, u32),
}

/// Lists the directory `root` with its whole content, apart from what is excluded, what is on other
/// mounts, and what no archive can have. `visit` is told of each entry.
///
/// Errors: the directory cannot be read; the text names it.
pub(super) fn list_tree(
    root: OwnedFd,
    excludes: &Excludes,
    mut visit: impl FnMut(&Record),
) -> io::Result<Listed> {
    let status = status(root.as_fd(), OsStr::new("")).map_err(io::Error::from)?;
    let mut walk = Walk {
        excludes,
        mount: Mount::from_status(&status),
        levels: Vec::new(),
        descent: Descent::new(root),
        record: Record {
            status: Status::new(&status),
            ..Record::default()
        },
        list: Writer::new()?,
        version: Sha256::new(),
        newest: (0, 0),
    };
    // Each name in the root is listed, so its times add nothing. They change with the directories that
    // archives are unpacked in where those are in the root itself.
    let root_status = walk.record.status;
    walk.version.update(root_status.permissions().to_ne_bytes());
    walk.list.push(&walk.record)?;
    visit(&walk.record);
    walk.enter()?;
    while let Some(level) = walk.levels.last_mut() {
        walk.record.path.truncate(level.path_length);
        match level.names.pop_front() {
            Some(name) => {
                if walk.entry(&name)? {
                    visit(&walk.record);
                    if FileType::from_raw_mode(walk.record.status.mode).is_dir() {
                        walk.enter()?;
                    }
                }
            }
            None => {
                walk.levels.pop();
            }
        }
    }
    let digest = walk.version.finalize();
    Ok(Listed {
        list: walk.list.finish()?,
        version: hex(&digest),
        newest: walk.newest,
    })
}

struct Walk<'w> {
    excludes: &'w Excludes,
    mount: Mount,
    /// The directories from the root to the current one.
    levels: Vec<Level>,
    descent: Descent,
    /// The current entry.
    record: Record,
    list: Writer,
    version: Sha256,
    newest: (i64, u32),
}

/// The names in a directory that are to come, and the length of its path, its slash included.
struct Level {
    names: VecDeque<CString>,
    path_length: usize,
}

impl Walk<'_> {
    /// Lists the current entry, a directory: its entries are next. One that is gone has none.
    fn enter(&mut self) -> io::Result<()> {
        let mut path = std::mem::take(&mut self.record.path);
        let mut names = match self.open(&path).and_then(names) {
            // It was removed or replaced.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Vec::new(),
            names => names.map_err(|errno| named(&path, errno))?,
        };
        names.retain(|name| !is_temporary(name.to_bytes()));
        names.sort_unstable();
        if !path.is_empty() {
            path.push(b'/');
        }
        self.levels.push(Level {
            names: names.into(),
            path_length: path.len(),
        });
        self.record.path = path;
        Ok(())
    }

    /// The directory with this path.
    fn open(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        let names: Vec<_> = components(path).collect();
        let open = |parent: BorrowedFd<'_>, name: &OsStr| openat(parent, name, DIRECTORY, Mode::empty());
        self.descent.go(&names, open).map_err(|(_, errno)| errno)
    }

    /// Lists the entry with this name in the current directory. Returns whether it is part of the
    /// archive.
    fn entry(&mut self, name: &CString) -> io::Result<bool> {
        let name = name.to_bytes();
        let parent = self.record.path.len();
        self.record.path.extend_from_slice(name);
        if self.excludes.contains(&self.record.path) {
            return Ok(false);
        }
        let path = std::mem::take(&mut self.record.path);
        let found = self.find(&path, parent, OsStr::from_bytes(name));
        let found = match found {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            found => found.map_err(|errno| named(&path, errno))?,
        };
        self.record.path = path;
        let Some((status, target)) = found else {
            return Ok(false);
        };
        let is_directory = FileType::from_raw_mode(status.mode).is_dir();
        if status.kind().is_none() || is_directory && self.excludes.contains_directory(&self.record.path) {
            return Ok(false);
        }
        self.record.status = status;
        self.record.target = target;
        self.newest = self.newest.max(status.ctime);
        self.version.update(self.list.push(&self.record)?);
        Ok(true)
    }

    /// The status of a name in the directory whose path is the first `parent` bytes of `path`, and
    /// the target of a link; `None` on another mount.
    fn find(&mut self, path: &[u8], parent: usize, name: &OsStr) -> Result<Option<(Status, Vec<u8>)>, Errno> {
        let directory = self.open(path.get(..parent).unwrap_or_default())?;
        let status = status(directory, name)?;
        let target = match FileType::from_raw_mode(status.stx_mode.into()) {
            FileType::Symlink => match readlinkat(directory, name, Vec::new()) {
                Err(Errno::INVAL) => return Ok(None),
                target => target?.into_bytes(),
            },
            _ => Vec::new(),
        };
        let is_here = Mount::from_status(&status) == self.mount;
        Ok(is_here.then(|| (Status::new(&status), target)))
    }
}

/// The status of `name` in a directory, or of the directory itself. Asks no server on another machine
/// or in the sandbox.
fn status(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Statx, Errno> {
    let flags =
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(
        directory,
        name,
        flags,
        StatxFlags::BASIC_STATS | StatxFlags::MNT_ID,
    )
}

fn named(path: &[u8], errno: Errno) -> io::Error {
    let e = io::Error::from(errno);
    io::Error::new(e.kind(), format!("{}: {e}", printable(path)))
}
