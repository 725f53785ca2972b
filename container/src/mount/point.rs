//! The directory that a bucket is mounted on.
//!
//! `sandboxd` may mount anywhere, and commands may rename and link as they like meanwhile. So a path is walked once, name
//! by name and through no symbolic link, and what it leads to is pinned by a descriptor; everything after goes by that.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::fs::{chownat, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use sandbox_protocol::Invalid;
use sandbox_protocol::mount::MountPath;

use crate::Error;
use crate::process::refusal::reason;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A mount point. Its calls may block. Dropped, it removes the directories that were made for it and are empty.
#[derive(Debug)]
pub struct Point {
    /// Pins the directory itself, not what is mounted on it: a mount is not busy because of it.
    directory: OwnedFd,
    /// Outermost first.
    made: Vec<Made>,
}

/// A directory that was made: its name in its parent.
#[derive(Debug)]
struct Made {
    parent: OwnedFd,
    name: String,
}

/// What a directory may hold that is about to be mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Nothing: a mount would hide it.
    Nothing,
    /// Anything; it is hidden until the bucket is unmounted.
    Anything,
}

impl Point {
    /// Finds the directory at `path`. What is missing of it is made, and belongs to whom its parent belongs to.
    ///
    /// Errors: 400 when the path leads through a link or something that is no directory, 502 for the kernel's refusals
    /// and for a directory that has more than `content` in it.
    pub fn prepare(path: &MountPath, content: Content) -> Result<Self, Error> {
        let failed = |e: Errno| Error::Mount(format!("{path}: {}", words(e)));
        let mut point = Self {
            directory: openat(CWD, "/", DIRECTORY, Mode::empty()).map_err(failed)?,
            made: Vec::new(),
        };
        let mut walked = PathBuf::from("/");
        for name in path.names() {
            walked.push(name);
            point.step(name).map_err(|e| match e {
                Errno::LOOP => Invalid::request(format!(
                    "mountPath must not lead through a symbolic link: {}",
                    walked.display()
                ))
                .into(),
                Errno::NOTDIR => Invalid::request(format!(
                    "mountPath must not lead through a file: {}",
                    walked.display()
                ))
                .into(),
                e => Error::Mount(format!("{}: {}", walked.display(), words(e))),
            })?;
        }
        let mut entries =
            fs::read_dir(point.link()).map_err(|e| Error::Mount(format!("{path}: {}", reason(&e))))?;
        if content == Content::Nothing && entries.next().is_some() {
            return Err(Error::Mount(format!("{path} is not empty")));
        }
        Ok(point)
    }

    /// Goes down into `name`, which is made if it is missing.
    fn step(&mut self, name: &str) -> Result<(), Errno> {
        let opened = match openat(&self.directory, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {
                mkdirat(&self.directory, name, Mode::from_raw_mode(0o755))?;
                let parent = self.directory.try_clone().map_err(|_| Errno::MFILE)?;
                self.made.push(Made {
                    parent,
                    name: name.to_owned(),
                });
                self.give_to_the_parents_owner(name)?;
                openat(&self.directory, name, DIRECTORY, Mode::empty())?
            }
            opened => opened?,
        };
        match FileType::from_raw_mode(fstat(&opened)?.st_mode) {
            FileType::Directory => self.directory = opened,
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::NOTDIR),
        }
        Ok(())
    }

    fn give_to_the_parents_owner(&self, name: &str) -> Result<(), Errno> {
        let parent = fstat(&self.directory)?;
        let owner = (Uid::from_raw(parent.st_uid), Gid::from_raw(parent.st_gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match chownat(&self.directory, name, Some(owner.0), Some(owner.1), flags) {
            // A server without the right to, or a file system without owners.
            Err(Errno::PERM) => Ok(()),
            given => given,
        }
    }

    /// Mounts here what is mounted at `source`.
    pub fn attach(&self, source: &Path) -> io::Result<()> {
        Ok(mount_bind(source, self.link())?)
    }

    /// Unmounts what is mounted here. `BUSY`: somebody has a file of it open or works in it.
    pub fn detach(&self) -> Result<(), Errno> {
        unmount(self.link(), UnmountFlags::empty())
    }

    /// Takes what is mounted here out of sight at once. It ends when the last who uses it is gone.
    pub fn detach_lazily(&self) -> Result<(), Errno> {
        unmount(self.link(), UnmountFlags::DETACH)
    }

    /// A name of the pinned directory that no rename changes. As a mount's it means what is mounted on the directory.
    fn link(&self) -> String {
        format!("/proc/self/fd/{}", self.directory.as_raw_fd())
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        while let Some(Made { parent, name }) = self.made.pop() {
            // What is not empty stays, and all above it.
            if unlinkat(&parent, name, AtFlags::REMOVEDIR).is_err() {
                return;
            }
        }
    }
}

/// The kernel's words for an error.
fn words(e: Errno) -> String {
    reason(&e.into())
}
