//! The one place that turns a path into file descriptors, and keeps them inside the workspace.
//!
//! Two ways lead to a file, and both end in a descriptor that pins an inode:
//!
//! 1. `openat2` with `RESOLVE_BENEATH`, anchored at the workspace's descriptor: the kernel follows the links and
//!    refuses whatever leaves the anchor, whoever renames what meanwhile.
//! 2. A walk of our own, one name at a time: each is opened with `O_PATH | O_NOFOLLOW` in the pinned directory before
//!    it, a link is read from its own descriptor and its target walked in its place, and `..` goes back to the
//!    descriptor we came from. No step asks the kernel to follow a link or to go up, so none can leave.
//!
//! The walk is for what `openat2` cannot do: absolute links to the workspace's own path (which `RESOLVE_BENEATH`
//! refuses, and which agents make a lot), parents to create, the target of a dangling link, and kernels or seccomp
//! filters without `openat2`. A link that leaves the workspace and comes back through somewhere else is refused.
//!
//! `O_PATH` opens nothing: a FIFO does not block and a device has no effects.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::fs::{fchmod, fchown, mkdirat, open, openat, openat2, readlinkat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sandbox_protocol::WorkspacePath;

use crate::quota::Buffers;

/// The most links that one path may lead through; the kernel's own bound.
const MAX_LINKS: usize = 40;

/// The bytes that the kernel takes for a path, its NUL included. What is longer nobody could open.
const PATH_MAX: usize = 4096;

/// The most directories below the workspace that a walk goes down, as it holds a descriptor of each.
pub(crate) const MAX_DEPTH: usize = 256;

const PIN: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// A workspace: the directory that all files are found beneath.
#[derive(Debug)]
pub struct Workspace {
    directory: OwnedFd,
    /// The absolute paths that a link may start with to name the workspace.
    names: [PathBuf; 2],
    /// Who owns new files and directories; `None`: the server's own user.
    pub(super) owner: Option<(Uid, Gid)>,
    /// Where transfers take their room.
    pub(super) buffers: Buffers,
}

/// Where the bytes of an upload belong: `name` in `directory`, with every link followed.
#[derive(Debug)]
pub(super) struct Place {
    /// The pinned parent.
    pub directory: OwnedFd,
    /// One name, neither empty nor `..`.
    pub name: OsString,
    /// What has that name now, pinned and no link; `None`: nothing.
    pub found: Option<File>,
}

/// What a walk does about a directory that is missing on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fail,
    Create,
}

impl Workspace {
    /// Opens the workspace at `root`, an existing directory. New files and directories get `owner`, where the server
    /// may give it; without one they belong to the server's user.
    pub fn open(root: &Path, owner: Option<(Uid, Gid)>) -> io::Result<Self> {
        Ok(Self {
            directory: open(root, PIN | OFlags::DIRECTORY, Mode::empty())?,
            names: [std::path::absolute(root)?, root.canonicalize()?],
            owner,
            buffers: Buffers::default(),
        })
    }

    /// Lets its transfers share `buffers` with others.
    pub fn sharing(self, buffers: Buffers) -> Self {
        Self { buffers, ..self }
    }

    /// Pins what `path` names, with links followed. The descriptor is `O_PATH`: good for `fstat`, see [`reopen`].
    ///
    /// Errors: `XDEV` when the path leads out of the workspace, else the kernel's.
    pub(super) fn find(&self, path: &WorkspacePath) -> Result<File, Errno> {
        if path.is_root() {
            return Err(Errno::ISDIR);
        }
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.directory, path.relative(), PIN, Mode::empty(), beneath) {
            // XDEV: a link leads out, or is absolute. AGAIN: a rename got in the way of a `..`. NOSYS and PERM: the
            // kernel or its filter has no `openat2`. The walk decides anew and trusts nothing of this answer.
            Err(Errno::XDEV | Errno::AGAIN | Errno::NOSYS | Errno::PERM) => {
                self.walk(path, Missing::Fail)?.found.ok_or(Errno::NOENT)
            }
            pinned => pinned.map(File::from),
        }
    }

    /// Pins the directory that the file at `path` belongs into, with links followed and missing directories created.
    ///
    /// Errors: `XDEV` when the path leads out of the workspace, `ISDIR` when it ends in `..` or the workspace itself,
    /// else the kernel's.
    pub(super) fn place(&self, path: &WorkspacePath) -> Result<Place, Errno> {
        self.walk(path, Missing::Create)
    }

    fn walk(&self, path: &WorkspacePath, missing: Missing) -> Result<Place, Errno> {
        if path.as_str().len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        // The pinned directories below the workspace down to where the walk is, and the names ahead, last first.
        let mut below: Vec<OwnedFd> = Vec::new();
        let mut ahead: Vec<OsString> = Vec::new();
        let mut links = 0;
        push_names(&mut ahead, Path::new(path.relative()));
        while let Some(name) = ahead.pop() {
            if name == ".." {
                below.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            let here = below.last().unwrap_or(&self.directory).as_fd();
            let pinned = match pin(here, &name) {
                Err(Errno::NOENT) if ahead.is_empty() => return Place::new(here, name, None),
                Err(Errno::NOENT) if missing == Missing::Create => {
                    self.create_directory(here, &name)?;
                    pin(here, &name)?
                }
                pinned => pinned?,
            };
            let kind = pinned.metadata().map_err(errno)?.file_type();
            if kind.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = PathBuf::from(OsString::from_vec(
                    readlinkat(&pinned, "", Vec::new())?.into_bytes(),
                ));
                if target.is_absolute() {
                    below.clear();
                }
                push_names(&mut ahead, self.beneath(&target)?);
            } else if ahead.is_empty() {
                return Place::new(here, name, Some(pinned));
            } else if !kind.is_dir() {
                return Err(Errno::NOTDIR);
            } else if below.len() == MAX_DEPTH {
                return Err(Errno::NAMETOOLONG);
            } else {
                below.push(pinned.into());
            }
        }
        Err(Errno::ISDIR)
    }

    /// A link's target without the workspace's own path, when it is absolute.
    fn beneath<'t>(&self, target: &'t Path) -> Result<&'t Path, Errno> {
        if target.is_relative() {
            return Ok(target);
        }
        self.names
            .iter()
            .find_map(|name| target.strip_prefix(name).ok())
            .ok_or(Errno::XDEV)
    }

    fn create_directory(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            // Another upload made it: just as good.
            Err(Errno::EXIST) => return Ok(()),
            made => made?,
        }
        // The process's umask may have taken bits away.
        let made = openat(
            parent,
            name,
            OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        fchmod(&made, Mode::from_raw_mode(0o755))?;
        self.owner.map_or(Ok(()), |owner| give(&made, owner))
    }
}

impl Place {
    fn new(directory: BorrowedFd<'_>, name: OsString, found: Option<File>) -> Result<Self, Errno> {
        Ok(Self {
            directory: fcntl_dupfd_cloexec(directory, 0)?,
            name,
            found,
        })
    }
}

/// Opens a file that [`Workspace::find`] pinned, which must be known to be a regular one, for reading. Through /proc,
/// so that it is the pinned inode whatever its name leads to by now.
pub(super) fn reopen(pinned: &File) -> Result<File, Errno> {
    let link = format!("/proc/self/fd/{}", pinned.as_raw_fd());
    openat(CWD, link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

/// Gives an open file or directory to `owner`. A server without the right to, or a file system without owners, leaves
/// it as it is.
pub(crate) fn give(file: impl AsFd, (uid, gid): (Uid, Gid)) -> Result<(), Errno> {
    match fchown(file, Some(uid), Some(gid)) {
        Err(Errno::PERM) => Ok(()),
        given => given,
    }
}

fn pin(directory: BorrowedFd<'_>, name: &OsStr) -> Result<File, Errno> {
    openat(directory, name, PIN | OFlags::NOFOLLOW, Mode::empty()).map(File::from)
}

fn push_names(ahead: &mut Vec<OsString>, path: &Path) {
    ahead.extend(path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    }));
}

fn errno(e: io::Error) -> Errno {
    Errno::from_io_error(&e).unwrap_or(Errno::IO)
}
