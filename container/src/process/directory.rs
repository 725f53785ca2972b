//! The directory in which a command starts.

use std::borrow::Cow;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use rustix::fs::{Mode, OFlags, open};
use sandbox_protocol::WorkspacePath;

use super::descriptors::Passed;

/// The number of a deleted directory in a child, until the child executes its program.
pub const DELETED_FD: RawFd = 232;

/// A directory to start in.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// A deleted directory, open until the command is started.
    deleted: Option<OwnedFd>,
}

impl Directory {
    /// The directory at `path`. If it has been deleted, another deleted directory: a command finds
    /// nothing in it and can make nothing, as in any shell whose directory is deleted. In an
    /// existing directory it could do harm.
    pub fn at(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Ok(Self::existing(path.to_owned()));
        }
        let deleted = open_deleted()?;
        Ok(Self {
            path: format!("/proc/self/fd/{}", deleted.as_raw_fd()).into(),
            deleted: Some(deleted),
        })
    }

    /// The directory at `path`, which exists.
    pub fn existing(path: PathBuf) -> Self {
        Self { path, deleted: None }
    }

    /// Its path for this process, while this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path for a child, which has the [descriptor](Self::descriptor) of a deleted one.
    pub fn path_in_child(&self) -> Cow<'_, Path> {
        match self.deleted {
            Some(_) => PathBuf::from(format!("/proc/self/fd/{DELETED_FD}")).into(),
            None => self.path.as_path().into(),
        }
    }

    /// The descriptor of a deleted directory.
    pub fn descriptor(&self) -> Option<Passed<'_>> {
        Some((self.deleted.as_ref()?.as_fd(), DELETED_FD))
    }
}

/// The path of `cwd` in the file system, for a workspace at `workspace`.
pub fn resolve(workspace: &Path, cwd: &WorkspacePath) -> PathBuf {
    // Joined with an empty path, it would end in a slash, and shells would print it so.
    if cwd.is_root() {
        workspace.to_owned()
    } else {
        workspace.join(cwd.relative())
    }
}

/// Opens a directory that is deleted, with its parent: nothing is in `..` either.
fn open_deleted() -> io::Result<OwnedFd> {
    let top = env::temp_dir().join(format!("sandboxd-{}", crate::random::random_id()?));
    let path = top.join("gone");
    fs::create_dir_all(&path)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = open(&path, flags, Mode::empty());
    fs::remove_dir_all(&top)?;
    Ok(opened?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_directory_holds_nothing() {
        let directory = Directory::at(Path::new("/no/such/directory")).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        for inside in ["file", "../file"] {
            assert!(fs::write(directory.path().join(inside), "x").is_err(), "{inside}");
        }
        let link = fs::read_link(directory.path()).unwrap();
        let top = link
            .ancestors()
            .find(|path| path.parent() == Some(&env::temp_dir()));
        assert!(!top.unwrap().exists(), "{link:?}");
    }
}
