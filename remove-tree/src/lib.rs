//! Removes a directory tree that an untrusted command has made: of any depth and width, in time
//! linear in the number of its entries, with a bounded stack, bounded memory and at most
//! [`MAX_OPEN`] + 2 descriptors.
//!
//! The walk goes down [`MAX_OPEN`] directories and holds a descriptor of each. A deeper directory
//! is moved up: renamed into the tree's root under a number, and walked from there later. (Going
//! back up through `..` instead is unsafe: a process that still runs can move the directory
//! elsewhere meanwhile.)
//!
//! Each entry is reached by its name in an open directory, through no link and across no mount
//! point.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::fs::{chmodat, fchmod, openat, openat2, renameat, unlinkat};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// The maximum of directories that a walk has open at a time.
pub const MAX_OPEN: usize = 32;

/// Removes `name` in `parent`, and everything in it when it is a directory. It is no error when it
/// does not exist.
///
/// Directories get the mode 0700 first, because their owner may have removed its own write
/// permission. An entry that cannot be removed is left, and so are the directories above it (one
/// that was moved up stays in the tree's root). All others are removed nevertheless.
///
/// # Errors
///
/// The kernel's error for the first entry that could not be removed; `EXDEV` when that is a mount
/// point.
pub fn remove_tree(parent: impl AsFd, name: impl Arg) -> io::Result<()> {
    remove_tree_unless(parent, name, &|| false)
}

/// Removes a tree as [`remove_tree`] does, until it `is_cancelled`, which is asked often. What is
/// removed by then is gone.
///
/// # Errors
///
/// The errors of [`remove_tree`]; [`io::ErrorKind::Interrupted`] when it was cancelled.
pub fn remove_tree_unless(
    parent: impl AsFd,
    name: impl Arg,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<()> {
    let parent = parent.as_fd();
    let name = name.into_c_str()?;
    let Some(root) = unlink_or_open(parent, &name, FileType::Unknown)? else {
        return Ok(());
    };
    let mut removal = Removal {
        root,
        next: 0,
        failure: None,
        is_cancelled,
    };
    removal.empty_root();
    if is_cancelled() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    if let Some(errno) = removal.failure {
        return Err(errno.into());
    }
    Ok(remove_empty(parent, &name)?)
}

struct Removal<'c> {
    root: OwnedFd,
    /// The name of the next directory that is moved up. Lower numbers may be in use.
    next: u64,
    /// The first error.
    failure: Option<Errno>,
    is_cancelled: &'c dyn Fn() -> bool,
}

/// A directory whose entries are being removed.
struct Level {
    entries: Dir,
    /// Its name in the directory above it; none for the one where the walk began.
    name: CString,
}

impl Removal<'_> {
    fn empty_root(&mut self) {
        let root = open_directory(self.root.as_fd(), c".");
        let emptied = root.and_then(|root| self.empty(root));
        self.note(emptied);
        // The last one first, which frees its number for the directories that are moved up out of
        // the one before it.
        while let Some(number) = self.next.checked_sub(1) {
            if (self.is_cancelled)() {
                return;
            }
            let removed = self.remove_moved_up(number);
            self.note(removed);
            // Directories that were moved up out of this one come next, then this number again.
            if self.next == number + 1 {
                self.next = number;
            }
        }
    }

    fn remove_moved_up(&mut self, number: u64) -> Result<()> {
        let name = name_of(number);
        // A command may have created another entry of this name.
        if let Some(directory) = unlink_or_open(self.root.as_fd(), &name, FileType::Unknown)? {
            self.empty(directory)?;
            remove_empty(self.root.as_fd(), &name)?;
        }
        Ok(())
    }

    /// Removes every entry of a directory or moves it up, as far as possible. Error: the directory
    /// cannot be listed.
    fn empty(&mut self, directory: OwnedFd) -> Result<()> {
        let mut levels = vec![Level::new(directory, c"")?];
        loop {
            if (self.is_cancelled)() {
                return Ok(());
            }
            let is_deepest = levels.len() == MAX_OPEN;
            let Some(level) = levels.last_mut() else {
                return Ok(());
            };
            match level.entries.read() {
                Some(Ok(entry)) => {
                    let entered =
                        self.remove_or_enter(level, entry.file_name(), entry.file_type(), is_deepest);
                    match entered {
                        Ok(below) => levels.extend(below),
                        Err(errno) => self.note(Err(errno)),
                    }
                }
                Some(Err(errno)) => self.note(Err(errno)),
                None => {
                    // Closed first: the file system records a directory that is removed while open
                    // in its list of orphans.
                    let name = levels.pop().map(|emptied| emptied.name);
                    if let (Some(name), Some(above)) = (name, levels.last()) {
                        let removed = above.entries.fd().and_then(|above| remove_empty(above, &name));
                        self.note(removed);
                    }
                }
            }
        }
    }

    /// Removes an entry of a directory or moves it up. Returns an opened directory that is to be
    /// walked.
    fn remove_or_enter(
        &mut self,
        level: &Level,
        name: &CStr,
        file_type: FileType,
        is_deepest: bool,
    ) -> Result<Option<Level>> {
        if matches!(name.to_bytes(), b"." | b"..") {
            return Ok(None);
        }
        let directory = level.entries.fd()?;
        match unlink_or_open(directory, name, file_type)? {
            None => Ok(None),
            Some(_) if is_deepest => self.move_up(directory, name).map(|()| None),
            Some(below) => Level::new(below, name).map(Some),
        }
    }

    /// Renames a directory into the root, under a number that no other entry has.
    fn move_up(&mut self, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        loop {
            let renamed = renameat(directory, name, &self.root, name_of(self.next));
            match renamed {
                Ok(()) => {
                    self.next += 1;
                    return Ok(());
                }
                // A command has used this name.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => self.next += 1,
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(errno) = result {
            self.failure.get_or_insert(errno);
        }
    }
}

impl Level {
    fn new(directory: OwnedFd, name: &CStr) -> Result<Self> {
        Ok(Self {
            entries: Dir::new(directory)?,
            name: name.to_owned(),
        })
    }
}

/// Unlinks a file; opens a directory. `None`: no entry has that name any more.
fn unlink_or_open(directory: BorrowedFd<'_>, name: &CStr, file_type: FileType) -> Result<Option<OwnedFd>> {
    let opened = match file_type {
        FileType::Directory => open_directory(directory, name).map(Some),
        _ => match unlinkat(directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => open_directory(directory, name).map(Some),
            unlinked => unlinked.map(|()| None),
        },
    };
    match opened {
        Err(Errno::NOENT) => Ok(None),
        opened => opened,
    }
}

/// Opens a directory and gives its owner, which may be this process's user, all permissions.
fn open_directory(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    const ALL: Mode = Mode::RWXU;
    let opened = match open_beneath(directory, name, OFlags::RDONLY) {
        Err(Errno::ACCESS) => {
            let pinned = open_beneath(directory, name, OFlags::PATH)?;
            let path = format!("/proc/self/fd/{}", pinned.as_raw_fd());
            chmodat(CWD, path, ALL, AtFlags::empty())?;
            open_beneath(directory, name, OFlags::RDONLY)?
        }
        opened => opened?,
    };
    // Fails for a directory of another owner: the removal of its entries then shows whether it is
    // possible.
    let _ = fchmod(&opened, ALL);
    Ok(opened)
}

fn open_beneath(directory: BorrowedFd<'_>, name: &CStr, access: OFlags) -> Result<OwnedFd> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(directory, name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
        // The kernel has no `openat2`, or a seccomp filter denies it.
        Err(Errno::NOSYS | Errno::PERM) => openat(directory, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// Removes an empty directory. It is no error when it is gone.
fn remove_empty(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// The name of a directory that was moved up.
fn name_of(number: u64) -> CString {
    // Digits have no NUL.
    CString::new(number.to_string()).unwrap_or_default()
}
