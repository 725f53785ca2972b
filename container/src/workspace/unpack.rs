//! Members of an archive as files of a tree that nobody else sees yet.
//!
//! A member's name is taken apart and walked from the root of the tree, one name at a time and through no link: no name
//! leads outside. Names that would are refused all the same, not repaired: such an archive is not what it says it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufRead;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::fs::{chownat, fchmod, futimens, linkat, mkdirat, openat, symlinkat, unlinkat, utimensat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sandbox_protocol::Invalid;

use super::content;
use super::descent::{Descent, pin};
use super::directories::{Directories, modified};
use super::reader::{Kind, Member, Members};
use super::shown;
use crate::error::Error;
use crate::files::{MAX_DEPTH, give};

/// The mode of a directory that only the names of others speak of.
const IMPLIED: u32 = 0o755;

/// What a directory has until all is in its place: we must be able to work in it.
const OURS: u32 = 0o700;

const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Why a member could not be unpacked.
pub(super) enum Failure {
    /// It, or what the archive has put in its way, is not allowed.
    Refused(String),
    /// The archive could not be read on.
    Unreadable(Invalid),
    /// The kernel said no.
    Errno(Errno),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Invalid> for Failure {
    fn from(e: Invalid) -> Self {
        Self::Unreadable(e)
    }
}

/// A tree that is being unpacked.
pub(super) struct Unpacker<'r> {
    root: BorrowedFd<'r>,
    tree: Descent,
    /// What the archive says of its directories.
    directories: Directories,
    /// Who owns what is unpacked; `None`: the server's own user.
    owner: Option<(Uid, Gid)>,
}

impl<'r> Unpacker<'r> {
    /// Unpacks into `root`, an empty directory.
    pub(super) fn new(
        root: BorrowedFd<'r>,
        directories: Directories,
        owner: Option<(Uid, Gid)>,
    ) -> Result<Self, Errno> {
        Ok(Self {
            tree: Descent::new(fcntl_dupfd_cloexec(root, 0)?),
            root,
            directories,
            owner,
        })
    }

    /// Unpacks all that is left in `members`. Gives what is still to be said of the directories, once nothing is put
    /// into them any more.
    pub(super) fn unpack<R: BufRead>(mut self, members: &mut Members<R>) -> Result<Directories, Error> {
        while let Some(member) = members.next()? {
            self.member(&member, members).map_err(|e| match e {
                Failure::Errno(errno) => super::failure(&member.name, errno),
                Failure::Refused(why) => Invalid::request(format!("{}: {why}", shown(&member.name))).into(),
                Failure::Unreadable(e) => e.into(),
            })?;
        }
        Ok(self.directories)
    }

    fn member<R: BufRead>(&mut self, member: &Member, members: &mut Members<R>) -> Result<(), Failure> {
        let names = names(&member.name).map_err(|why| Failure::Refused(why.into()))?;
        let Some((name, parents)) = names.split_last() else {
            return match member.kind {
                Kind::Directory => Ok(self.directories.note(&names, member)?),
                _ => Err(Failure::Refused("the workspace itself is a directory".into())),
            };
        };
        if names.len() > MAX_DEPTH {
            return Err(Failure::Refused("it is nested too deep".into()));
        }
        let (name, owner) = (OsStr::from_bytes(name), self.owner);
        match &member.kind {
            Kind::Directory => {
                self.directory(&names)?;
                self.directories.note(&names, member)?;
            }
            Kind::File | Kind::Sparse { .. } => {
                let private = Mode::from_raw_mode(0o600);
                let file = self.make(parents, name, |parent| openat(parent, name, NEW_FILE, private))?;
                let file = File::from(file);
                content::write(&file, &member.kind, members)?;
                if let Some(owner) = owner {
                    give(&file, owner)?;
                }
                fchmod(&file, Mode::from_raw_mode(member.mode & 0o777))?;
                futimens(&file, &modified(member.mtime))?;
            }
            Kind::Symlink(target) => {
                if target.is_empty() || target.contains(&0) {
                    return Err(Failure::Refused("its target is no name".into()));
                }
                let target = OsStr::from_bytes(target);
                self.make(parents, name, |parent| {
                    symlinkat(target, parent, name)?;
                    settle_link(parent, name, member, owner)
                })?;
            }
            Kind::HardLink(target) => self.hard_link(parents, name, target)?,
        }
        Ok(())
    }

    /// Links to a member before this one; a link to anything else would reach what is not the archive's.
    fn hard_link(&mut self, parents: &[&[u8]], name: &OsStr, target: &[u8]) -> Result<(), Failure> {
        let refused = |why: &str| Failure::Refused(format!("a hard link to {}: {why}", shown(target)));
        let names = names(target).map_err(refused)?;
        let Some((target_name, target_parents)) = names.split_last() else {
            return Err(refused("not a file"));
        };
        let target_name = OsStr::from_bytes(target_name);
        if target_name == name && target_parents == parents {
            return Err(refused("that is the link itself"));
        }
        let missing = |errno| match errno {
            Errno::NOENT | Errno::NOTDIR => refused("not in the archive, or not before the link"),
            Errno::PERM | Errno::ISDIR => refused("not a file"),
            errno => errno.into(),
        };
        let mut way = Descent::new(fcntl_dupfd_cloexec(self.root, 0)?);
        let directory = way.go(target_parents, pin).map_err(|(_, errno)| missing(errno))?;
        self.make(parents, name, |parent| {
            // Without following: a link to a symbolic link is one.
            match linkat(directory, target_name, parent, name, AtFlags::empty()) {
                Err(errno) if errno != Errno::EXIST => Ok(Err(missing(errno))),
                linked => linked.map(Ok),
            }
        })?
    }

    /// Makes `name` with `make` in the directory of these parents, which are made where they are missing. What has the
    /// name already is removed: the last member of a name is the one that counts.
    fn make<T>(
        &mut self,
        parents: &[&[u8]],
        name: &OsStr,
        make: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, Failure> {
        let parent = self.parent(parents)?;
        match make(parent) {
            Err(Errno::EXIST) => {}
            made => return Ok(made?),
        }
        match unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    return Err(Failure::Refused(
                        "a directory with members has the same name".into(),
                    ));
                }
                removed => removed?,
            },
            removed => removed?,
        }
        self.tree.forget();
        Ok(make(self.parent(parents)?)?)
    }

    /// Makes a directory, in which its members are likely to follow. Its mode it gets at the end.
    fn directory(&mut self, names: &[&[u8]]) -> Result<(), Failure> {
        match self.go(names) {
            Err((depth, Errno::NOTDIR | Errno::LOOP)) if depth == names.len() => {}
            gone => return gone.map(drop).map_err(|e| not_there(names, e)),
        }
        if let Some((name, parents)) = names.split_last() {
            unlinkat(self.parent(parents)?, OsStr::from_bytes(name), AtFlags::empty())?;
        }
        self.parent(names).map(drop)
    }

    fn parent(&mut self, parents: &[&[u8]]) -> Result<BorrowedFd<'_>, Failure> {
        self.go(parents).map_err(|e| not_there(parents, e))
    }

    /// Goes to a directory, which is made if it is missing.
    fn go(&mut self, names: &[&[u8]]) -> Result<BorrowedFd<'_>, (usize, Errno)> {
        let owner = self.owner;
        self.tree.go(names, |directory, name| match pin(directory, name) {
            Err(Errno::NOENT) => make_directory(directory, name, IMPLIED, owner),
            pinned => pinned,
        })
    }
}

/// What it means that a member's directory could not be reached.
fn not_there(names: &[&[u8]], (depth, errno): (usize, Errno)) -> Failure {
    match errno {
        Errno::NOTDIR | Errno::LOOP => {
            let link = names.get(..depth).unwrap_or(names).join(&b'/');
            Failure::Refused(format!("{} is no directory in the archive", shown(&link)))
        }
        errno => errno.into(),
    }
}

/// The names that a member's name is made of; none for the workspace itself.
fn names(name: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if name.is_empty() || name.contains(&0) {
        return Err("it has no proper name");
    }
    if name.starts_with(b"/") {
        return Err("absolute names are not allowed");
    }
    let names = name.split(|byte| *byte == b'/');
    let names: Vec<_> = names.filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&&b".."[..]) {
        return Err("names with .. are not allowed");
    }
    Ok(names)
}

/// Makes a directory with exactly this mode, whatever the process's umask is.
pub(super) fn make_directory(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    mode: u32,
    owner: Option<(Uid, Gid)>,
) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::from_raw_mode(OURS))?;
    let made = openat(parent, name, DIRECTORY, Mode::empty())?;
    if let Some(owner) = owner {
        give(&made, owner)?;
    }
    fchmod(&made, Mode::from_raw_mode(mode))?;
    Ok(made)
}

fn settle_link(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    member: &Member,
    owner: Option<(Uid, Gid)>,
) -> Result<(), Errno> {
    if let Some((uid, gid)) = owner {
        match chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
            // As [`give`] has it.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    utimensat(parent, name, &modified(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
}
