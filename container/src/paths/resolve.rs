//! Paths of clients: links are followed, and none leads outside.
//!
//! Two ways lead to a file, and both end in a descriptor that pins an inode:
//!
//! 1. `openat2` with `RESOLVE_BENEATH`, anchored at a root's descriptor: the kernel follows
//!    the links and refuses every path that leaves the anchor, whatever is renamed meanwhile.
//! 2. A walk in this module, one name at a time: each is opened with `O_PATH | O_NOFOLLOW` in the
//!    pinned directory before it, a link is read from its own descriptor and replaced by its
//!    target, and `..` goes back to the descriptor before. No step asks the kernel to follow a link
//!    or to go up, so none can leave.
//!
//! The walk is for what `openat2` cannot do: absolute links to a root's own path (which
//! `RESOLVE_BENEATH` refuses, and which agents often make), parents to create, the target of a
//! dangling link, and kernels or seccomp filters without `openat2`. An absolute link may lead from
//! one root to another. A link that leaves a root any other way is refused, also if it comes back.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::fs::{openat2, readlinkat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sandbox_protocol::FilePath;

use super::root::Root;
use super::{PIN, make_directory, pin};

/// The most links that one path may lead through; the kernel's own bound.
const MAX_LINKS: usize = 40;

/// The most bytes of a path that the kernel takes, its NUL included.
const PATH_MAX: usize = 4096;

/// The most directories below a root that a walk goes down, as it holds a descriptor of
/// each.
const MAX_DEPTH: usize = 256;

/// The directories that paths of clients are found beneath.
#[derive(Debug)]
pub(crate) struct Roots(Vec<Root>);

/// A directory entry that a path leads to: `name` in `directory`.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The pinned parent.
    pub directory: OwnedFd,
    /// One name, neither empty nor `..`.
    pub name: OsString,
    /// The file, directory or link of that name, pinned; `None`: there is none.
    pub found: Option<File>,
}

/// The target of a path whose last name is a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// The target of the link, within the roots.
    Follow,
    /// The link itself.
    Keep,
}

/// How a walk treats a missing directory.
#[derive(Clone, Copy)]
enum Missing {
    Fail,
    /// Creates it for this owner; `None`: the server's own user.
    Create(Option<(Uid, Gid)>),
}

impl Roots {
    /// Roots that were opened, one at least.
    pub(crate) fn new(roots: Vec<Root>) -> Self {
        Self(roots)
    }

    /// Pins what `path` names, with links followed, the last one as `last` says. The descriptor is
    /// `O_PATH`: good for `fstat`, see [`super::reopen`].
    ///
    /// Errors: `XDEV` when the path leads out of the roots, else the kernel's.
    pub(crate) fn find(&self, path: &FilePath, last: Last) -> Result<File, Errno> {
        let root = self.root(path.root())?;
        if path.is_root() {
            return Ok(fcntl_dupfd_cloexec(&root.directory, 0)?.into());
        }
        let flags = match last {
            Last::Follow => PIN,
            Last::Keep => PIN | OFlags::NOFOLLOW,
        };
        match openat2(&root.directory, path.relative(), flags, Mode::empty(), BENEATH) {
            Err(errno) if is_undecided(errno) => match self.walk(path, Missing::Fail, last)? {
                Walked::Entry(entry) => entry.found.ok_or(Errno::NOENT),
                Walked::Directory(directory) => Ok(directory.into()),
            },
            pinned => pinned.map(File::from),
        }
    }

    /// Finds the directory entry at `path`, with every link followed but the last one.
    ///
    /// Errors: `XDEV` when the path leads out of the roots, `ISDIR` for a root itself, else the
    /// kernel's.
    pub(crate) fn entry(&self, path: &FilePath) -> Result<Entry, Errno> {
        match self.entry_in_parent(path) {
            Err(errno) if is_undecided(errno) => self.walk(path, Missing::Fail, Last::Keep)?.entry(),
            entry => entry,
        }
    }

    /// Finds the directory entry at `path` by one call for its parent, with every link followed but
    /// the last one.
    fn entry_in_parent(&self, path: &FilePath) -> Result<Entry, Errno> {
        let (parent, name) = match path.relative().rsplit_once('/') {
            _ if path.is_root() => return Err(Errno::ISDIR),
            Some(split) => split,
            None => (".", path.relative()),
        };
        let root = self.root(path.root())?;
        let flags = PIN | OFlags::DIRECTORY;
        let directory = openat2(&root.directory, parent, flags, Mode::empty(), BENEATH)?;
        let found = match pin(directory.as_fd(), name.as_ref()) {
            Err(Errno::NOENT) => None,
            found => Some(found?.into()),
        };
        Ok(Entry {
            directory,
            name: name.into(),
            found,
        })
    }

    /// Finds the directory entry at `path` as [`Self::entry_in_parent`] does, or by a walk where that
    /// does not decide: for a missing parent, and for a link that is followed.
    fn entry_or_walk(&self, path: &FilePath, missing: Missing, last: Last) -> Result<Entry, Errno> {
        match self.entry_in_parent(path) {
            Ok(entry) if last == Last::Keep || !entry.is_link()? => Ok(entry),
            Err(Errno::ISDIR) => Err(Errno::ISDIR),
            _ => self.walk(path, missing, last)?.entry(),
        }
    }

    /// Finds the directory entry at `path`, with every link followed.
    ///
    /// Errors: as of [`Self::entry`].
    pub(crate) fn entry_behind_links(&self, path: &FilePath) -> Result<Entry, Errno> {
        self.entry_or_walk(path, Missing::Fail, Last::Follow)
    }

    /// Finds the directory entry to write at `path`, with links followed, the last one as `last`
    /// says, and missing directories created.
    ///
    /// New directories get `owner`, where the server may give it; without one they belong to the
    /// server's user.
    ///
    /// Errors: `XDEV` when the path leads out of the roots, `ISDIR` when it ends in `..` or a root
    /// itself, else the kernel's.
    pub(crate) fn target(
        &self,
        path: &FilePath,
        owner: Option<(Uid, Gid)>,
        last: Last,
    ) -> Result<Entry, Errno> {
        self.entry_or_walk(path, Missing::Create(owner), last)
    }

    fn root(&self, path: &str) -> Result<&Root, Errno> {
        self.0.iter().find(|root| root.path == path).ok_or(Errno::XDEV)
    }

    /// The root that an absolute path leads to, and the rest of the path.
    fn beneath<'t>(&self, target: &'t Path) -> Option<(&Root, &'t Path)> {
        let found = self
            .0
            .iter()
            .filter_map(|root| Some((root, root.names.beneath(target)?)));
        // The innermost one.
        found.min_by_key(|(_, rest)| rest.as_os_str().len())
    }

    fn walk(&self, path: &FilePath, missing: Missing, last: Last) -> Result<Walked, Errno> {
        if path.as_str().len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut root = self.root(path.root())?;
        // The pinned directories from below the root to the current one, and the names ahead, last
        // first.
        let mut below: Vec<OwnedFd> = Vec::new();
        let mut ahead: Vec<OsString> = Vec::new();
        let mut links = 0;
        push_names(&mut ahead, Path::new(path.relative()));
        if matches!(missing, Missing::Create(_)) && ahead.len() > MAX_DEPTH + 1 {
            // Before the first directory is made.
            return Err(Errno::NAMETOOLONG);
        }
        while let Some(name) = ahead.pop() {
            if name == ".." {
                below.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            let here = below.last().unwrap_or(&root.directory).as_fd();
            let pinned = match pin(here, &name) {
                Err(Errno::NOENT) if ahead.is_empty() => {
                    return Entry::new(here, name, None).map(Walked::Entry);
                }
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
            let is_kept = ahead.is_empty() && last == Last::Keep;
            if kind.is_symlink() && !is_kept {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = PathBuf::from(OsString::from_vec(
                    readlinkat(&pinned, "", Vec::new())?.into_bytes(),
                ));
                let mut rest = target.as_path();
                if target.is_absolute() {
                    (root, rest) = self.beneath(&target).ok_or(Errno::XDEV)?;
                    below.clear();
                }
                push_names(&mut ahead, rest);
            } else if ahead.is_empty() {
                return Entry::new(here, name, Some(pinned)).map(Walked::Entry);
            } else if !kind.is_dir() {
                return Err(Errno::NOTDIR);
            } else if below.len() == MAX_DEPTH {
                return Err(Errno::NAMETOOLONG);
            } else {
                below.push(pinned.into());
            }
        }
        let here = below.last().unwrap_or(&root.directory);
        fcntl_dupfd_cloexec(here, 0).map(Walked::Directory)
    }
}

/// The end of a walk.
enum Walked {
    Entry(Entry),
    /// A directory without a name: a root, or the target of a link that ends in `..`.
    Directory(OwnedFd),
}

impl Walked {
    fn entry(self) -> Result<Entry, Errno> {
        match self {
            Self::Entry(entry) => Ok(entry),
            Self::Directory(_) => Err(Errno::ISDIR),
        }
    }
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Whether `openat2` left the answer to the walk. XDEV: a link leads out, or is absolute. AGAIN: a
/// rename got in the way of a `..`. NOSYS and PERM: the kernel or its filter has no `openat2`. The
/// walk decides again and does not rely on this answer.
fn is_undecided(errno: Errno) -> bool {
    matches!(errno, Errno::XDEV | Errno::AGAIN | Errno::NOSYS | Errno::PERM)
}

impl Entry {
    /// Whether what was found is a symbolic link.
    fn is_link(&self) -> Result<bool, Errno> {
        let metadata = self.found.as_ref().map(File::metadata).transpose();
        Ok(metadata.map_err(errno)?.is_some_and(|found| found.is_symlink()))
    }

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
