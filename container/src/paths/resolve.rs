//! Paths of clients: links are followed, and none leads outside.
//!
//! Two ways lead to a file, and both end in a descriptor that pins an inode:
//!
//! 1. `openat2` with `RESOLVE_BENEATH`, anchored at the workspace's descriptor: the kernel follows
//!    the links and refuses every path that leaves the anchor, whatever is renamed meanwhile.
//! 2. A walk in this module, one name at a time: each is opened with `O_PATH | O_NOFOLLOW` in the
//!    pinned directory before it, a link is read from its own descriptor and replaced by its
//!    target, and `..` goes back to the descriptor before. No step asks the kernel to follow a link
//!    or to go up, so none can leave.
//!
//! The walk is for what `openat2` cannot do: absolute links to the workspace's own path (which
//! `RESOLVE_BENEATH` refuses, and which agents often make), parents to create, the target of a
//! dangling link, and kernels or seccomp filters without `openat2`. A link that leaves the
//! workspace and comes back through another path is refused.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::fs::{open, openat, openat2, readlinkat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sandbox_protocol::WorkspacePath;

use super::{DIRECTORY, PIN, make_directory, pin};

/// The most links that one path may lead through; the kernel's own bound.
const MAX_LINKS: usize = 40;

/// The most bytes of a path that the kernel takes, its NUL included.
const PATH_MAX: usize = 4096;

/// The most directories below the workspace that a walk goes down, as it holds a descriptor of
/// each.
const MAX_DEPTH: usize = 256;

/// The directory that paths are found beneath.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    names: Names,
}

/// The directory entry that an upload is written to: `name` in `directory`, with every link
/// followed.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The pinned parent.
    pub directory: OwnedFd,
    /// One name, neither empty nor `..`.
    pub name: OsString,
    /// The file or directory that has that name now, pinned, not a link; `None`: there is none.
    pub found: Option<File>,
}

/// How a walk treats a missing directory.
#[derive(Clone, Copy)]
enum Missing {
    Fail,
    /// Creates it for this owner; `None`: the server's own user.
    Create(Option<(Uid, Gid)>),
}

/// The absolute paths that a link may start with to name the workspace.
#[derive(Debug)]
pub(crate) struct Names([PathBuf; 2]);

impl Names {
    /// The names of the workspace at `root`, an existing directory.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self([std::path::absolute(root)?, root.canonicalize()?]))
    }

    /// A link's target; an absolute one without the workspace's own path. `None`: it is outside.
    pub(crate) fn beneath<'t>(&self, target: &'t Path) -> Option<&'t Path> {
        if target.is_relative() {
            return Some(target);
        }
        self.0.iter().find_map(|name| target.strip_prefix(name).ok())
    }
}

impl Root {
    /// Opens the workspace at `root`, an existing directory.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: open(root, PIN | OFlags::DIRECTORY, Mode::empty())?,
            names: Names::new(root)?,
        })
    }

    /// Opens the directory itself for reading.
    pub(crate) fn open_directory(&self) -> Result<OwnedFd, Errno> {
        openat(&self.directory, ".", DIRECTORY, Mode::empty())
    }

    /// The absolute paths of the directory that links may start with.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Pins what `path` names, with links followed. The descriptor is `O_PATH`: good for `fstat`,
    /// see [`super::reopen`].
    ///
    /// Errors: `XDEV` when the path leads out of the workspace, else the kernel's.
    pub(crate) fn find(&self, path: &WorkspacePath) -> Result<File, Errno> {
        if path.is_root() {
            return Err(Errno::ISDIR);
        }
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.directory, path.relative(), PIN, Mode::empty(), beneath) {
            // XDEV: a link leads out, or is absolute. AGAIN: a rename got in the way of a `..`.
            // NOSYS and PERM: the kernel or its filter has no `openat2`. The walk decides again and
            // does not rely on this answer.
            Err(Errno::XDEV | Errno::AGAIN | Errno::NOSYS | Errno::PERM) => {
                self.walk(path, Missing::Fail)?.found.ok_or(Errno::NOENT)
            }
            pinned => pinned.map(File::from),
        }
    }

    /// Pins the parent directory of the file at `path`, with links followed and missing directories
    /// created.
    ///
    /// New directories get `owner`, where the server may give it; without one they belong to the
    /// server's user.
    ///
    /// Errors: `XDEV` when the path leads out of the workspace, `ISDIR` when it ends in `..` or the
    /// workspace itself, else the kernel's.
    pub(crate) fn entry(&self, path: &WorkspacePath, owner: Option<(Uid, Gid)>) -> Result<Entry, Errno> {
        self.walk(path, Missing::Create(owner))
    }

    fn walk(&self, path: &WorkspacePath, missing: Missing) -> Result<Entry, Errno> {
        if path.as_str().len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        // The pinned directories from below the workspace to the current one, and the names ahead,
        // last first.
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
                Err(Errno::NOENT) if ahead.is_empty() => return Entry::new(here, name, None),
                Err(Errno::NOENT) => match missing {
                    Missing::Fail => return Err(Errno::NOENT),
                    Missing::Create(owner) => match make_directory(here, &name, 0o755, owner) {
                        // Another upload made it.
                        Err(Errno::EXIST) => pin(here, &name)?,
                        made => made?,
                    },
                },
                pinned => pinned?,
            };
            let pinned = File::from(pinned);
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
                push_names(&mut ahead, self.names.beneath(&target).ok_or(Errno::XDEV)?);
            } else if ahead.is_empty() {
                return Entry::new(here, name, Some(pinned));
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
}

impl Entry {
    fn new(directory: BorrowedFd<'_>, name: OsString, found: Option<File>) -> Result<Self, Errno> {
        Ok(Self {
            directory: fcntl_dupfd_cloexec(directory, 0)?,
            name,
            found,
        })
    }
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
