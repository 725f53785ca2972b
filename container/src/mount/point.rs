//! The directory that a bucket is mounted on.
//!
//! `sandboxd` may mount anywhere, and commands may rename and link as they like meanwhile. So a
//! path is walked once, name by name and through no symbolic link, and its directory is pinned by a
//! descriptor. All later calls use that.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Uid, fstat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use sandbox_protocol::Invalid;
use sandbox_protocol::mount::MountPath;

use crate::Error;
use crate::paths::{descriptor_path, make_directory, pin};
use crate::process::shell_error::os_message;

/// A mount point. Its calls may block. Dropped, it removes the directories that were made for it
/// and are empty.
#[derive(Debug)]
pub struct Point {
    /// Pins the directory itself and not the mount on it, so it does not keep the mount busy.
    directory: OwnedFd,
    /// The directories made for the mount, outermost first.
    made: Vec<Made>,
}

/// A directory that was made, by its name in its parent.
#[derive(Debug)]
struct Made {
    parent: OwnedFd,
    name: String,
}

/// The content that a mount point may have before the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// None: a mount would hide it.
    Nothing,
    /// Anything; it is hidden until the bucket is unmounted.
    Anything,
}

impl Point {
    /// Finds the directory at `path`. Makes missing directories, with their parent's owner.
    ///
    /// Errors: 400 when the path leads through a link or a file, 502 for the kernel's errors and
    /// for a directory that has more than `content` in it.
    pub fn prepare(path: &MountPath, content: Content) -> Result<Self, Error> {
        let failed = |e: Errno| Error::Mount(format!("{path}: {}", message(e)));
        let mut point = Self {
            directory: pin(CWD, OsStr::new("/")).map_err(failed)?,
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
                e => Error::Mount(format!("{}: {}", walked.display(), message(e))),
            })?;
        }
        let mut entries =
            fs::read_dir(point.link()).map_err(|e| Error::Mount(format!("{path}: {}", os_message(&e))))?;
        if content == Content::Nothing && entries.next().is_some() {
            return Err(Error::Mount(format!("{path} is not empty")));
        }
        Ok(point)
    }

    /// Goes down into `name`, and makes it if it is missing.
    fn step(&mut self, name: &str) -> Result<(), Errno> {
        let opened = match pin(self.directory.as_fd(), OsStr::new(name)) {
            Err(Errno::NOENT) => {
                let parent = fstat(&self.directory)?;
                let owner = (Uid::from_raw(parent.st_uid), Gid::from_raw(parent.st_gid));
                make_directory(self.directory.as_fd(), OsStr::new(name), 0o755, Some(owner))?;
                let parent = self.directory.try_clone().map_err(|_| Errno::MFILE)?;
                self.made.push(Made {
                    parent,
                    name: name.to_owned(),
                });
                pin(self.directory.as_fd(), OsStr::new(name))?
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

    /// Binds the mount with the root directory `root` here. Fails when it was unmounted meanwhile.
    pub fn attach(&self, root: &File) -> io::Result<()> {
        Ok(mount_bind(descriptor_path(root), self.link())?)
    }

    /// Unmounts the mount on this directory. `BUSY`: a process has a file of it open or works in
    /// it.
    pub fn detach(&self) -> Result<(), Errno> {
        unmount(self.link(), UnmountFlags::empty())
    }

    /// Detaches the mount from this directory at once. It ends when no process uses it any more.
    pub fn detach_lazily(&self) -> Result<(), Errno> {
        unmount(self.link(), UnmountFlags::DETACH)
    }

    /// A name of the pinned directory that no rename changes. In a call about mounts it means the
    /// mount on the directory.
    fn link(&self) -> String {
        descriptor_path(&self.directory)
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        while let Some(Made { parent, name }) = self.made.pop() {
            // A directory that is not empty stays, and all above it.
            if unlinkat(&parent, name, AtFlags::REMOVEDIR).is_err() {
                return;
            }
        }
    }
}

/// The kernel's message for an error.
fn message(e: Errno) -> String {
    os_message(&e.into())
}
