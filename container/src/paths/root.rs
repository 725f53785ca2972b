//! A directory that paths of clients are found beneath, and the names that links know it by.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use super::PIN;

/// A directory that paths are found beneath.
#[derive(Debug)]
pub(crate) struct Root {
    /// The path that clients know it by.
    pub(super) path: String,
    pub(super) directory: OwnedFd,
    pub(super) names: Names,
}

impl Root {
    /// Opens the root at `root`, an existing directory, which clients know as `path`.
    pub(crate) fn open(root: &Path, path: &str) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            directory: open(root, PIN | OFlags::DIRECTORY, Mode::empty())?,
            names: Names::new(root)?,
        })
    }
}

/// The absolute paths that a link may start with to name a root.
#[derive(Debug)]
pub(crate) struct Names([PathBuf; 2]);

impl Names {
    /// The names of the root at `root`, an existing directory.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self([std::path::absolute(root)?, root.canonicalize()?]))
    }

    /// A link's target; an absolute one without the root's own path. `None`: it is outside.
    pub(crate) fn beneath<'t>(&self, target: &'t Path) -> Option<&'t Path> {
        if target.is_relative() {
            return Some(target);
        }
        self.0.iter().find_map(|name| target.strip_prefix(name).ok())
    }
}
