//! Files and directories by descriptors, for trees that commands change at any time. Nothing is
//! checked first and used later: a path becomes a descriptor that pins an inode, and all further
//! calls use that.
//!
//! - `resolve`: a path of a client → a pinned file, or a pinned directory and a name in it. The only
//!   code that follows links, and only those that stay beneath the root.
//! - `walk`: all entries of a tree of any depth, through no link.
//! - `descent`: names in a tree of any depth → a pinned directory, through no link.
//! - This file: one step of a walk, and what can be done with a pinned file.
//!
//! `O_PATH` opens nothing: a FIFO does not block and a device has no effects.

mod data;
mod descent;
mod resolve;
mod root;
mod status;
mod walk;

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Dir, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat, openat,
};
use rustix::io::Errno;

pub(crate) use data::{copy, next_data};
pub(crate) use descent::{Descent, OPEN, components};
pub(crate) use resolve::{Entry, Last, Roots};
pub(crate) use root::{Names, Root};
pub(crate) use status::{Mount, file_type, status};
pub(crate) use walk::Walk;

const PIN: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens a directory for reading, and nothing else.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens a regular file for reading. Opening never blocks and never takes a controlling terminal,
/// whatever the name leads to by now.
pub(crate) const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Pins `name` in a directory, whatever it is. A link is pinned itself.
pub(crate) fn pin(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(directory, name, PIN | OFlags::NOFOLLOW, Mode::empty())
}

/// Pins the directory `name` in another. A link or a file is `NOTDIR`.
pub(crate) fn pin_directory(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(
        directory,
        name,
        PIN | OFlags::NOFOLLOW | OFlags::DIRECTORY,
        Mode::empty(),
    )
}

/// The entries of a directory, `.` and `..` among them. It may be a pinned one.
pub(crate) fn list(directory: BorrowedFd<'_>) -> Result<Dir, Errno> {
    Dir::new(reopen_directory(directory)?)
}

/// The names of all entries of a pinned directory, in no order.
pub(crate) fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in list(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Opens a pinned directory for reading. A link or a file is `NOTDIR`.
pub(crate) fn reopen_directory(pinned: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    openat(pinned, ".", DIRECTORY, Mode::empty())
}

/// Makes the directory `name` in another, and opens it. It has exactly this mode, whatever the
/// process's umask is, and belongs to `owner`, where the server may give it; `None`: to the server's
/// own user. Until then nobody else can use it.
pub(crate) fn make_directory(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    mode: u32,
    owner: Option<(Uid, Gid)>,
) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
    let made = openat(parent, name, DIRECTORY, Mode::empty())?;
    if let Some(owner) = owner {
        chown_if_permitted(&made, owner)?;
    }
    fchmod(&made, Mode::from_raw_mode(mode))?;
    Ok(made)
}

/// Opens a pinned file, which must be known to be a regular one, with `access`. Goes through /proc,
/// so it opens the pinned inode, whatever its name leads to by now.
pub(crate) fn reopen(pinned: &File, access: OFlags) -> Result<File, Errno> {
    openat(
        CWD,
        descriptor_path(pinned),
        access | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map(File::from)
}

/// Gives an open file or directory to `owner`. Does nothing when the server has no right to, or
/// when the file system has no owners.
pub(crate) fn chown_if_permitted(file: impl AsFd, (uid, gid): (Uid, Gid)) -> Result<(), Errno> {
    match fchown(file, Some(uid), Some(gid)) {
        Err(Errno::PERM) => Ok(()),
        given => given,
    }
}

/// Gives the link or FIFO `name`, which was just made, to `owner`, as [`chown_if_permitted`] does. A
/// command that owns the directory can have put something else there by now: what has other names, too,
/// such as a hard link to a file of root, stays as it is.
pub(crate) fn chown_new(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    (uid, gid): (Uid, Gid),
) -> Result<(), Errno> {
    let made = pin(directory, name)?;
    if fstat(&made)?.st_nlink != 1 {
        return Ok(());
    }
    match chownat(&made, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH) {
        Err(Errno::PERM) => Ok(()),
        given => given,
    }
}

/// A path to an open file, independent of its name.
pub(crate) fn descriptor_path(open: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", open.as_raw_fd())
}
