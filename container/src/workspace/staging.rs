//! The directories that archives are unpacked in: beside the workspace, on the same mounted file
//! system, so that a complete tree is moved in by renaming it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, mkdirat, open, openat, renameat, statx};
use rustix::io::Errno;

use crate::paths::{list, pin_directory};
use crate::random::{is_random_suffix, random_name};

/// The prefix of the names of staging directories. Those in the workspace itself are not part of
/// it.
pub(super) const PREFIX: &str = ".sandbar-hydrate-";

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The parent of staging directories, and the workspace as reached from there.
#[derive(Debug)]
pub(super) struct StagingParent {
    /// The directory that holds staging directories.
    directory: OwnedFd,
    /// The prefix of their names.
    prefix: String,
    /// The workspace, on the same mounted file system.
    workspace: OwnedFd,
}

impl StagingParent {
    /// Selects the parent for the workspace at `path`: the directory `volume`, which holds the
    /// workspace under the same name, or else the parent of `path`. Where neither works, it is the
    /// workspace itself. Removes the staging directories that earlier processes left there, in the
    /// background.
    pub(super) fn open(path: &Path, volume: Option<&Path>) -> io::Result<Self> {
        let workspace = open(path, DIR, Mode::empty())?;
        let path = path.canonicalize()?;
        let parent = volume
            .or(path.parent())
            .and_then(|volume| Self::beside(volume, &path, &workspace))
            .unwrap_or(Self {
                directory: rustix::io::fcntl_dupfd_cloexec(&workspace, 0)?,
                prefix: PREFIX.to_owned(),
                workspace,
            });
        parent.remove_stale();
        Ok(parent)
    }

    /// For staging directories in `root` itself, another root than the workspace.
    pub(super) fn within(root: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            workspace: rustix::io::fcntl_dupfd_cloexec(&root, 0)?,
            directory: root,
            prefix: PREFIX.to_owned(),
        })
    }

    /// The workspace, to rename into.
    pub(super) fn workspace(&self) -> BorrowedFd<'_> {
        self.workspace.as_fd()
    }

    /// The directory `volume`, if the workspace is in it and can be renamed into.
    fn beside(volume: &Path, workspace: &Path, opened: &OwnedFd) -> Option<Self> {
        let name = workspace.file_name()?;
        let directory = open(volume, DIR, Mode::empty()).ok()?;
        let inside = pin_directory(directory.as_fd(), name).ok()?;
        let parent = Self {
            // Other workspaces may have the same parent.
            prefix: format!("{PREFIX}{}-", name.to_str()?),
            directory,
            workspace: inside,
        };
        (is_same(&parent.workspace, opened).ok()? && parent.can_rename().is_ok()).then_some(parent)
    }

    /// Tests the rename that a hydrate needs.
    fn can_rename(&self) -> Result<(), Errno> {
        let staging = Staging::create(self)?;
        let probe = format!("{PREFIX}probe");
        mkdirat(&staging.directory, &probe, Mode::from_raw_mode(0o700))?;
        renameat(&staging.directory, &probe, &self.workspace, &probe)?;
        renameat(&self.workspace, &probe, &staging.directory, &probe)
    }

    fn remove_stale(&self) {
        let Ok(entries) = list(self.directory.as_fd()) else {
            return;
        };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
        let names = names.filter(|name| {
            let suffix = name.strip_prefix(&self.prefix);
            suffix.is_some_and(|suffix| is_random_suffix(suffix.as_bytes()))
        });
        let left: Vec<_> = names.collect();
        let Ok(directory) = rustix::io::fcntl_dupfd_cloexec(&self.directory, 0) else {
            return;
        };
        if !left.is_empty() {
            std::thread::spawn(move || {
                for name in left {
                    remove(directory.as_fd(), &name);
                }
            });
        }
    }
}

/// A staging directory. Dropping it removes it with its content.
#[derive(Debug)]
pub(super) struct Staging {
    parent: OwnedFd,
    name: String,
    directory: OwnedFd,
}

impl Staging {
    /// Makes a staging directory. Only the server's user can read it.
    pub(super) fn create(parent: &StagingParent) -> Result<Self, Errno> {
        let name = random_name(&parent.prefix)?;
        mkdirat(&parent.directory, &name, Mode::from_raw_mode(0o700))?;
        let directory = openat(&parent.directory, &name, DIR | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self {
            parent: rustix::io::fcntl_dupfd_cloexec(&parent.directory, 0)?,
            name,
            directory,
        })
    }

    /// A new, empty directory in it.
    pub(super) fn tree(&self, name: &str) -> Result<OwnedFd, Errno> {
        mkdirat(&self.directory, name, Mode::from_raw_mode(0o700))?;
        openat(&self.directory, name, DIR | OFlags::NOFOLLOW, Mode::empty())
    }

    /// A new, empty file in it, to write and to read.
    pub(super) fn file(&self) -> Result<File, Errno> {
        let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
        openat(&self.directory, "directories", create, Mode::from_raw_mode(0o600)).map(File::from)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove(self.parent.as_fd(), &self.name);
    }
}

/// Removes `name` in a directory with its content. Follows no link.
fn remove(directory: BorrowedFd<'_>, name: &str) {
    // A stale directory in the workspace itself can be as deep as a command has made it.
    if let Err(e) = remove_tree::remove_tree(directory, name) {
        tracing::warn!(name, error = %e, "a staging directory of a hydrate is left");
    }
}

/// Whether two descriptors are of the same directory.
fn is_same(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Errno> {
    let identity = |directory: &OwnedFd| {
        let status = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
        Ok::<_, Errno>((status.stx_dev_major, status.stx_dev_minor, status.stx_ino))
    };
    Ok(identity(one)? == identity(other)?)
}
