//! Merges an unpacked tree into the workspace: replaces what `tar -x` would have replaced, and
//! leaves all else.
//!
//! A tree whose name the workspace does not have is moved in with one rename. Where both have a
//! directory, that of the workspace stays and the members are moved one by one. No link is
//! followed: a link in the way of a directory is replaced, as a file is.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::fs::{
    fchmod, fstat, futimens, openat, readlinkat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use sandbox_protocol::Invalid;

use super::error::{printable, write_error};
use crate::error::Error;
use crate::files::{self, temporary_name};
use crate::paths::{
    Descent, OPEN, chown_if_permitted, chown_new, components, copy, list, make_directory, pin_directory,
};

/// Moves one tree into another, both of any depth: it does not recurse, and the number of
/// descriptors is bounded.
pub(super) struct Merge {
    staged: Descent,
    target: Descent,
    owner: Option<(Uid, Gid)>,
    /// The name of the current entry, `./…`.
    name: Vec<u8>,
}

/// A pass through the entries of the staged tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Looks for conflicts: a directory with members that a file would replace.
    Check,
    /// Moves them into the target.
    Move,
}

/// A directory whose entries are being read.
struct Level {
    /// `None` while the walk is more than [`OPEN`] levels below.
    entries: Option<Dir>,
    /// The kernel's offset to continue reading at.
    offset: i64,
    /// Whether there was an entry since reading began at the start.
    has_entries: bool,
    /// The length of the directory's name, its slash included.
    name_length: usize,
}

impl Merge {
    /// Moves the content of `staged` into `target`. Files that are copied to another file system
    /// get `owner`.
    pub(super) fn new(staged: OwnedFd, target: OwnedFd, owner: Option<(Uid, Gid)>) -> Self {
        Self {
            staged: Descent::new(staged),
            target: Descent::new(target),
            owner,
            name: b"./".to_vec(),
        }
    }

    /// Moves everything, after a check that found no conflict.
    pub(super) fn run(mut self) -> Result<(), Error> {
        self.walk(Pass::Check)?;
        self.walk(Pass::Move)
    }

    fn walk(&mut self, pass: Pass) -> Result<(), Error> {
        let mut levels = vec![self.enter()?];
        while let Some(level) = levels.last_mut() {
            self.name.truncate(level.name_length);
            if level.entries.is_none() {
                let offset = level.offset;
                *level = self.enter()?;
                self.done(
                    level
                        .entries
                        .as_mut()
                        .map_or(Ok(()), |entries| entries.seek(offset)),
                )?;
                level.has_entries = true;
            }
            match level.entries.as_mut().and_then(Dir::read) {
                Some(entry) => {
                    let entry = self.done(entry)?;
                    level.offset = entry.offset();
                    if is_itself(entry.file_name()) {
                        continue;
                    }
                    level.has_entries = true;
                    let name = entry.file_name().to_bytes();
                    self.name.extend_from_slice(name);
                    if !self.visit(pass, OsStr::from_bytes(name))? {
                        continue;
                    }
                    self.name.push(b'/');
                    levels.push(self.enter()?);
                    let above = levels.len().checked_sub(OPEN + 1);
                    if let Some(above) = above.and_then(|above| levels.get_mut(above)) {
                        above.entries = None;
                    }
                }
                // Entries that are taken away may hide others from the listing: read until it is
                // empty.
                None if pass == Pass::Move && level.has_entries => {
                    if let Some(entries) = &mut level.entries {
                        entries.rewind();
                    }
                    level.has_entries = false;
                }
                None => {
                    levels.pop();
                    if let Some(above) = levels.last() {
                        self.leave(pass, above.name_length)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes to the directory with the current name, in both trees.
    fn go(&mut self) -> Result<(), Error> {
        let names: Vec<_> = components(&self.name).collect();
        let went = self
            .staged
            .go(&names, pin_directory)
            .and(self.target.go(&names, pin_directory));
        let went = went.map(drop).map_err(|(_, errno)| errno);
        self.done(went)
    }

    /// Begins to read that directory of the staged tree.
    fn enter(&mut self) -> Result<Level, Error> {
        self.go()?;
        Ok(Level {
            entries: Some(self.done(list(self.staged.here()))?),
            offset: 0,
            has_entries: false,
            name_length: self.name.len(),
        })
    }

    /// Goes back to the directory above, whose name has `name_length` bytes, and removes the one
    /// below, which is empty now.
    fn leave(&mut self, pass: Pass, name_length: usize) -> Result<(), Error> {
        let below = self.name.get(name_length..).unwrap_or_default();
        let below = below.strip_suffix(b"/").unwrap_or(below).to_vec();
        self.name.truncate(name_length);
        self.go()?;
        match pass {
            Pass::Check => Ok(()),
            Pass::Move => self.done(unlinkat(
                self.staged.here(),
                OsStr::from_bytes(&below),
                AtFlags::REMOVEDIR,
            )),
        }
    }

    /// Handles an entry. Returns whether it is a directory in both trees, whose entries come next.
    fn visit(&self, pass: Pass, name: &OsStr) -> Result<bool, Error> {
        let (staged, target) = (self.staged.here(), self.target.here());
        match pass {
            Pass::Check => self.check(staged, target, name),
            Pass::Move => self.entry(staged, target, name),
        }
    }

    fn check(&self, staged: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Error> {
        let Ok(existing) = pin_directory(target, name) else {
            return Ok(false);
        };
        match pin_directory(staged, name) {
            Ok(_) => Ok(true),
            Err(_) if is_empty(&existing) => Ok(false),
            Err(_) => Err(self.in_the_way()),
        }
    }

    fn entry(&self, staged: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Error> {
        let moved = if let Ok(inner) = pin_directory(staged, name) {
            match pin_directory(target, name) {
                Ok(_) => return Ok(true),
                Err(Errno::NOTDIR | Errno::LOOP) => self.done(unlinkat(target, name, AtFlags::empty()))?,
                Err(_) => {}
            }
            match renameat(staged, name, target, name) {
                // The target is on another file system, mounted inside the workspace.
                Err(Errno::XDEV) => {
                    let mode = self.done(fstat(inner))?.st_mode & 0o777;
                    self.done(make_directory(target, name, mode, self.owner))?;
                    return Ok(true);
                }
                moved => moved,
            }
        } else {
            match renameat(staged, name, target, name) {
                Err(Errno::ISDIR) => match unlinkat(target, name, AtFlags::REMOVEDIR) {
                    Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(self.in_the_way()),
                    removed => removed.and_then(|()| renameat(staged, name, target, name)),
                },
                Err(Errno::XDEV) => self
                    .copy(staged, target, name)
                    .and_then(|()| unlinkat(staged, name, AtFlags::empty())),
                // Nothing is moved when both are names of one file.
                Ok(()) => match unlinkat(staged, name, AtFlags::empty()) {
                    Err(Errno::NOENT) => Ok(()),
                    removed => removed,
                },
                moved => moved,
            }
        };
        self.done(moved).map(|()| false)
    }

    /// Copies a file or a link, under a temporary name first.
    fn copy(&self, staged: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        let temporary = temporary_name()?;
        let status = statat(staged, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: rustix::fs::UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: status.st_mtime,
                tv_nsec: status.st_mtime_nsec.try_into().unwrap_or(0),
            },
        };
        let copy = || {
            if FileType::from_raw_mode(status.st_mode).is_symlink() {
                let link = readlinkat(staged, name, Vec::new())?;
                symlinkat(link, target, &temporary)?;
                if let Some(owner) = self.owner {
                    chown_new(target.as_fd(), OsStr::new(&temporary), owner)?;
                }
                utimensat(target, &temporary, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            } else {
                let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let from = File::from(openat(staged, name, read, Mode::empty())?);
                let create =
                    OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
                let to = File::from(openat(target, &temporary, create, Mode::from_raw_mode(0o600))?);
                copy(&from, &to, &|| false).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
                if let Some(owner) = self.owner {
                    chown_if_permitted(&to, owner)?;
                }
                fchmod(&to, Mode::from_raw_mode(status.st_mode & 0o777))?;
                futimens(&to, &times)?;
                files::flush(&to)?;
            }
            renameat(target, &temporary, target, name)
        };
        copy().inspect_err(|_| {
            let _ = unlinkat(target, &temporary, AtFlags::empty());
        })
    }

    fn in_the_way(&self) -> Error {
        let name = printable(&self.name);
        Invalid::request(format!(
            "{name}: a directory that is not empty is in the place of this file"
        ))
        .into()
    }

    fn done<T>(&self, result: Result<T, Errno>) -> Result<T, Error> {
        result.map_err(|errno| write_error(&self.name, errno))
    }
}

fn is_empty(directory: &OwnedFd) -> bool {
    list(directory.as_fd())
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| is_itself(entry.file_name()))))
}

fn is_itself(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}
