//! An unpacked tree becomes part of the workspace: what `tar -x` would have replaced is replaced, all else stays.
//!
//! A tree that the workspace has nothing of is moved in with one rename. Where both have a directory it stays the one
//! it is, and its members are moved one by one. No link is followed: one that is in the way of a directory is replaced,
//! as a file is.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Timespec, Timestamps, Uid, seek};
use rustix::fs::{
    chownat, fchmod, fstat, futimens, openat, readlinkat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use sandbox_protocol::Invalid;

use super::descent::{list, pin};
use super::unpack::make_directory;
use super::{failure, shown};
use crate::error::Error;
use crate::files::{give, temporary_name};

/// Moves one tree into another.
pub(super) struct Merge {
    owner: Option<(Uid, Gid)>,
    /// The name of what is being looked at, for errors.
    name: Vec<u8>,
}

impl Merge {
    /// What has to be copied, as it goes to another file system, gets `owner`.
    pub(super) fn new(owner: Option<(Uid, Gid)>) -> Self {
        Self {
            owner,
            name: b"./".to_vec(),
        }
    }

    /// Looks for what cannot be replaced, before anything is: a directory with members where a file shall be.
    pub(super) fn check(&mut self, staged: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Error> {
        self.each(staged, |merge, name| {
            let Ok(existing) = pin(target, name) else {
                return Ok(());
            };
            match pin(staged, name) {
                Ok(inner) => merge.inside(|merge| merge.check(inner.as_fd(), existing.as_fd())),
                Err(_) if is_empty(&existing) => Ok(()),
                Err(_) => Err(merge.in_the_way()),
            }
        })
        .map(drop)
    }

    /// Moves everything in `staged` into `target`.
    pub(super) fn run(&mut self, staged: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Error> {
        // What is taken away while a directory is read may hide something of it: read until it is empty.
        while self.each(staged, |merge, name| merge.entry(staged, target, name))? > 0 {}
        Ok(())
    }

    fn entry(&mut self, staged: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &OsStr) -> Result<(), Error> {
        if let Ok(inner) = pin(staged, name) {
            match pin(target, name) {
                Ok(existing) => {
                    self.inside(|merge| merge.run(inner.as_fd(), existing.as_fd()))?;
                    return self.done(unlinkat(staged, name, AtFlags::REMOVEDIR));
                }
                Err(Errno::NOTDIR | Errno::LOOP) => self.done(unlinkat(target, name, AtFlags::empty()))?,
                Err(_) => {}
            }
            return match renameat(staged, name, target, name) {
                Err(Errno::XDEV) => self.copy_directory(staged, target, name, &inner),
                moved => self.done(moved),
            };
        }
        match renameat(staged, name, target, name) {
            Err(Errno::ISDIR) => match unlinkat(target, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => Err(self.in_the_way()),
                removed => self.done(removed.and_then(|()| renameat(staged, name, target, name))),
            },
            Err(Errno::XDEV) => {
                let copied = self.copy(staged, target, name);
                self.done(copied.and_then(|()| unlinkat(staged, name, AtFlags::empty())))
            }
            moved => self.done(moved),
        }
    }

    /// Copies to a directory on another file system, which something in the workspace is mounted from.
    fn copy_directory(
        &mut self,
        staged: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &OsStr,
        inner: &OwnedFd,
    ) -> Result<(), Error> {
        let mode = self.done(fstat(inner))?.st_mode & 0o777;
        let made = self.done(make_directory(target, name, mode, self.owner))?;
        self.inside(|merge| merge.run(inner.as_fd(), made.as_fd()))?;
        self.done(unlinkat(staged, name, AtFlags::REMOVEDIR))
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
                if let Some((uid, gid)) = self.owner {
                    let _ = chownat(
                        target,
                        &temporary,
                        Some(uid),
                        Some(gid),
                        AtFlags::SYMLINK_NOFOLLOW,
                    );
                }
                utimensat(target, &temporary, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            } else {
                let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let from = File::from(openat(staged, name, read, Mode::empty())?);
                let create =
                    OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
                let to = File::from(openat(target, &temporary, create, Mode::from_raw_mode(0o600))?);
                copy_content(&from, &to).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
                if let Some(owner) = self.owner {
                    give(&to, owner)?;
                }
                fchmod(&to, Mode::from_raw_mode(status.st_mode & 0o777))?;
                futimens(&to, &times)?;
            }
            renameat(target, &temporary, target, name)
        };
        copy().inspect_err(|_| {
            let _ = unlinkat(target, &temporary, AtFlags::empty());
        })
    }

    /// Calls `visit` for each name in `directory`; gives how many there were.
    fn each(
        &mut self,
        directory: BorrowedFd<'_>,
        mut visit: impl FnMut(&mut Self, &OsStr) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let mut count = 0;
        for entry in self.done(list(directory))? {
            let entry = self.done(entry)?;
            let name = entry.file_name();
            if is_itself(name) {
                continue;
            }
            let length = self.name.len();
            self.name.extend_from_slice(name.to_bytes());
            visit(self, OsStr::from_bytes(name.to_bytes()))?;
            self.name.truncate(length);
            count += 1;
        }
        Ok(count)
    }

    fn inside(&mut self, visit: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.name.push(b'/');
        visit(self)
    }

    fn in_the_way(&self) -> Error {
        let name = shown(&self.name);
        Invalid::request(format!(
            "{name}: a directory that is not empty is in the place of this file"
        ))
        .into()
    }

    fn done<T>(&self, result: Result<T, Errno>) -> Result<T, Error> {
        result.map_err(|errno| failure(&self.name, errno))
    }
}

fn is_empty(directory: &OwnedFd) -> bool {
    list(directory.as_fd())
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| is_itself(entry.file_name()))))
}

fn is_itself(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Copies the data of a file to an empty one. Its holes stay holes.
fn copy_content(mut from: &File, mut to: &File) -> io::Result<()> {
    let size = from.metadata()?.len();
    let mut at = 0;
    while at < size {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        at = seek(from, SeekFrom::Hole(start))?;
        seek(from, SeekFrom::Start(start))?;
        seek(to, SeekFrom::Start(start))?;
        io::copy(&mut io::Read::take(&mut from, at - start), &mut to)?;
    }
    to.set_len(size)
}
