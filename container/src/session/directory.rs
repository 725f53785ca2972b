//! Where a command of a session starts.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use rustix::fs::{Mode, OFlags, open};
use sandbox_protocol::WorkspacePath;

/// A directory to start in.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Open until the command is started.
    _gone: Option<OwnedFd>,
}

impl Directory {
    /// The directory at `path`. If it has been deleted meanwhile, another that has been: there a command finds nothing and
    /// can make nothing, as in any shell whose directory is gone. In a directory that is there it could do harm.
    pub fn at(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Ok(Self::existing(path.to_owned()));
        }
        let gone = gone()?;
        Ok(Self {
            path: format!("/proc/self/fd/{}", gone.as_raw_fd()).into(),
            _gone: Some(gone),
        })
    }

    /// The directory at `path`, which is there.
    pub fn existing(path: PathBuf) -> Self {
        Self { path, _gone: None }
    }

    /// How to get there, for this process and its children, while this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where the path `cwd` is, if the workspace is at `workspace`.
pub fn of_path(workspace: &Path, cwd: &WorkspacePath) -> PathBuf {
    // Joined with nothing, it would end in a slash, and shells would call it so.
    if cwd.is_root() {
        workspace.to_owned()
    } else {
        workspace.join(cwd.relative())
    }
}

/// A directory that is deleted, and so are those above it: `..` leads nowhere either.
fn gone() -> io::Result<OwnedFd> {
    let top = env::temp_dir().join(format!("sandboxd-{}", crate::config::random_id()?));
    let path = top.join("gone/".repeat(16));
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
    fn a_directory_that_is_gone_holds_nothing() {
        let directory = Directory::at(Path::new("/no/such/directory")).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        for inside in ["file", "../file", "../../../file"] {
            assert!(fs::write(directory.path().join(inside), "x").is_err(), "{inside}");
        }
        let link = fs::read_link(directory.path()).unwrap();
        let top = link
            .ancestors()
            .find(|path| path.parent() == Some(&env::temp_dir()));
        assert!(!top.unwrap().exists(), "{link:?}");
    }
}
