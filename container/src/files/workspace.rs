//! The workspace whose files clients read and write.

use std::io;
use std::path::Path;

use rustix::fs::{Gid, Uid};

use crate::paths::Root;
use crate::quota::Buffers;

/// A workspace: the directory that all files are found beneath.
#[derive(Debug)]
pub struct Workspace {
    pub(super) root: Root,
    /// The owner of new files and directories; `None`: the server's own user.
    pub(super) owner: Option<(Uid, Gid)>,
    /// The memory that transfers share.
    pub(super) buffers: Buffers,
}

impl Workspace {
    /// Opens the workspace at `root`, an existing directory. New files and directories get `owner`,
    /// where the server may give it; without one they belong to the server's user.
    pub fn open(root: &Path, owner: Option<(Uid, Gid)>) -> io::Result<Self> {
        Ok(Self {
            root: Root::open(root)?,
            owner,
            buffers: Buffers::default(),
        })
    }

    /// Lets its transfers share `buffers` with others.
    pub fn sharing(self, buffers: Buffers) -> Self {
        Self { buffers, ..self }
    }
}
