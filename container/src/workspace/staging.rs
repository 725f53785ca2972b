//! Where archives are unpacked: a directory beside the workspace, on the same mounted file system, so that what is
//! complete is moved in by renaming it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, mkdirat, open, openat, renameat, statx};
use rustix::io::Errno;

use super::descent::{list, pin};
use crate::files::{is_random, random_name};

/// How the names of staging directories begin. In the workspace itself they are no part of it.
pub(super) const PREFIX: &str = ".sandbar-hydrate-";

const PLACE: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where staging directories are made, and the workspace as it is reached from there.
#[derive(Debug)]
pub(super) struct Place {
    /// What the staging directories are in.
    directory: OwnedFd,
    /// How their names begin.
    prefix: String,
    /// The workspace, on the same mounted file system.
    workspace: OwnedFd,
}

impl Place {
    /// Looks for a place for the workspace at `path`: the directory `volume`, which holds the workspace under the same
    /// name, or else the one that `path` is in. Where neither will do, it is the workspace itself. What earlier
    /// processes left there is removed, in the background.
    pub(super) fn open(path: &Path, volume: Option<&Path>) -> io::Result<Self> {
        let workspace = open(path, PLACE, Mode::empty())?;
        let path = path.canonicalize()?;
        let place = volume
            .or(path.parent())
            .and_then(|volume| Self::beside(volume, &path, &workspace))
            .unwrap_or(Self {
                directory: rustix::io::fcntl_dupfd_cloexec(&workspace, 0)?,
                prefix: PREFIX.to_owned(),
                workspace,
            });
        place.remove_leftovers();
        Ok(place)
    }

    /// The workspace, to rename into.
    pub(super) fn workspace(&self) -> BorrowedFd<'_> {
        self.workspace.as_fd()
    }

    /// The directory `volume`, if the workspace is in it and can be renamed into.
    fn beside(volume: &Path, workspace: &Path, opened: &OwnedFd) -> Option<Self> {
        let name = workspace.file_name()?;
        let directory = open(volume, PLACE, Mode::empty()).ok()?;
        let inside = pin(directory.as_fd(), name).ok()?;
        let place = Self {
            // Other workspaces may have the same parent.
            prefix: format!("{PREFIX}{}-", name.to_str()?),
            directory,
            workspace: inside,
        };
        (is_same(&place.workspace, opened).ok()? && place.can_rename().is_ok()).then_some(place)
    }

    /// Tries what a hydrate will do.
    fn can_rename(&self) -> Result<(), Errno> {
        let staging = Staging::create(self)?;
        let probe = format!("{PREFIX}probe");
        mkdirat(&staging.directory, &probe, Mode::from_raw_mode(0o700))?;
        renameat(&staging.directory, &probe, &self.workspace, &probe)?;
        renameat(&self.workspace, &probe, &staging.directory, &probe)
    }

    fn remove_leftovers(&self) {
        let Ok(entries) = list(self.directory.as_fd()) else {
            return;
        };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
        let names = names.filter(|name| {
            let suffix = name.strip_prefix(&self.prefix);
            suffix.is_some_and(|suffix| is_random(suffix.as_bytes()))
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

/// A staging directory. Dropped, it is removed with all that is in it.
#[derive(Debug)]
pub(super) struct Staging<'p> {
    place: &'p Place,
    name: String,
    directory: OwnedFd,
}

impl<'p> Staging<'p> {
    /// Makes one. Nobody but the server's user can look into it.
    pub(super) fn create(place: &'p Place) -> Result<Self, Errno> {
        let name = random_name(&place.prefix)?;
        mkdirat(&place.directory, &name, Mode::from_raw_mode(0o700))?;
        let directory = openat(&place.directory, &name, PLACE | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self {
            place,
            name,
            directory,
        })
    }

    /// A new, empty directory in it.
    pub(super) fn tree(&self) -> Result<OwnedFd, Errno> {
        mkdirat(&self.directory, "tree", Mode::from_raw_mode(0o700))?;
        openat(&self.directory, "tree", PLACE | OFlags::NOFOLLOW, Mode::empty())
    }

    /// A new, empty file in it, to write and to read.
    pub(super) fn file(&self) -> Result<File, Errno> {
        let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
        openat(&self.directory, "directories", create, Mode::from_raw_mode(0o600)).map(File::from)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        remove(self.place.directory.as_fd(), &self.name);
    }
}

/// Removes `name` in a directory with all that is in it. Follows no link.
fn remove(directory: BorrowedFd<'_>, name: &str) {
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    if let Err(e) = fs::remove_dir_all(path) {
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
