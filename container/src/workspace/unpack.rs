//! Unpacks the members of an archive into a tree that nobody else sees yet.
//!
//! A member's name is split and walked from the root of the tree, one name at a time and through no
//! link: no name leads outside. Names that would are refused all the same, not repaired: such an
//! archive is damaged or hostile.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufRead;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::fs::{chownat, fchmod, futimens, linkat, openat, symlinkat, unlinkat, utimensat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sandbox_protocol::Invalid;

use super::content;
use super::directories::{Directories, modified};
use super::error::{Failure, printable, write_error};
use super::reader::{Kind, Member, Members};
use crate::error::Error;
use crate::paths::{Descent, chown_if_permitted, components, make_directory, pin_directory};

/// The mode of a directory that has no member of its own, only members in it.
const IMPLIED: u32 = 0o755;

const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A tree that is being unpacked.
pub(super) struct Unpacker<'r> {
    root: BorrowedFd<'r>,
    tree: Descent,
    /// The modes and times of the archive's directories.
    directories: Directories,
    /// The owner of unpacked files; `None`: the server's own user.
    owner: Option<(Uid, Gid)>,
}

/// The result of unpacking.
pub(super) struct Unpacked {
    /// The modes and times to give to the directories once no more entries are put into them.
    pub directories: Directories,
    /// The number of members, without the root.
    pub count: u64,
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

    /// Unpacks all remaining `members`.
    pub(super) fn unpack<R: BufRead>(mut self, members: &mut Members<R>) -> Result<Unpacked, Error> {
        let mut count = 0;
        while let Some(member) = members.next()? {
            count += u64::from(components(&member.name).next().is_some());
            self.member(&member, members).map_err(|e| match e {
                Failure::Errno(errno) => write_error(&member.name, errno),
                Failure::Refused(why) => {
                    Invalid::request(format!("{}: {why}", printable(&member.name))).into()
                }
                Failure::Unreadable(e) => e.into(),
            })?;
        }
        Ok(Unpacked {
            directories: self.directories,
            count,
        })
    }

    fn member<R: BufRead>(&mut self, member: &Member, members: &mut Members<R>) -> Result<(), Failure> {
        let names = names(&member.name).map_err(|why| Failure::Refused(why.into()))?;
        let Some((name, parents)) = names.split_last() else {
            return match member.kind {
                Kind::Directory => Ok(self.directories.note(&names, member)?),
                _ => Err(Failure::Refused("the workspace itself is a directory".into())),
            };
        };
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
                    chown_if_permitted(&file, owner)?;
                }
                fchmod(
                    &file,
                    Mode::from_raw_mode(member.mode & self.directories.modes.file),
                )?;
                futimens(&file, &modified(member.mtime))?;
            }
            Kind::Symlink(target) => {
                if target.is_empty() || target.contains(&0) {
                    return Err(Failure::Refused("its target is no name".into()));
                }
                let target = OsStr::from_bytes(target);
                self.make(parents, name, |parent| {
                    symlinkat(target, parent, name)?;
                    set_link_attributes(parent, name, member, owner)
                })?;
            }
            Kind::HardLink(target) => self.hard_link(parents, name, target)?,
        }
        Ok(())
    }

    /// Links to an earlier member; a link to anything else would reach outside the archive.
    fn hard_link(&mut self, parents: &[&[u8]], name: &OsStr, target: &[u8]) -> Result<(), Failure> {
        let refused = |why: &str| Failure::Refused(format!("a hard link to {}: {why}", printable(target)));
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
        let directory = way
            .go(target_parents, pin_directory)
            .map_err(|(_, errno)| missing(errno))?;
        self.make(parents, name, |parent| {
            // Without following: a hard link to a symbolic link is a symbolic link.
            match linkat(directory, target_name, parent, name, AtFlags::empty()) {
                Err(errno) if errno != Errno::EXIST => Ok(Err(missing(errno))),
                linked => linked.map(Ok),
            }
        })?
    }

    /// Makes `name` with `make` in the directory of these parents, and makes missing parents.
    /// Removes an earlier member with the name: the last one counts.
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

    /// Makes a directory, whose members are likely to follow. It gets its mode at the end.
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

    /// Goes to a directory, and makes it if it is missing.
    fn go(&mut self, names: &[&[u8]]) -> Result<BorrowedFd<'_>, (usize, Errno)> {
        let owner = self.owner;
        self.tree
            .go(names, |directory, name| match pin_directory(directory, name) {
                Err(Errno::NOENT) => make_directory(directory, name, IMPLIED, owner),
                pinned => pinned,
            })
    }
}

/// The failure for a member whose directory could not be reached.
fn not_there(names: &[&[u8]], (depth, errno): (usize, Errno)) -> Failure {
    match errno {
        Errno::NOTDIR | Errno::LOOP => {
            let link = names.get(..depth).unwrap_or(names).join(&b'/');
            Failure::Refused(format!("{} is no directory in the archive", printable(&link)))
        }
        errno => errno.into(),
    }
}

/// The components of a member's name; none for the workspace itself.
fn names(name: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if name.is_empty() || name.contains(&0) {
        return Err("it has no proper name");
    }
    if name.starts_with(b"/") {
        return Err("absolute names are not allowed");
    }
    let names: Vec<_> = components(name).collect();
    if names.contains(&&b".."[..]) {
        return Err("names with .. are not allowed");
    }
    Ok(names)
}

fn set_link_attributes(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    member: &Member,
    owner: Option<(Uid, Gid)>,
) -> Result<(), Errno> {
    if let Some((uid, gid)) = owner {
        match chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
            // As in [`give`].
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    utimensat(parent, name, &modified(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
}
