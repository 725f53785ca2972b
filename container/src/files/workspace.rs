//! The directories whose files clients read and write.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{FileRoots, Limits, workspace_path};

use super::locks::Locks;
use super::renames::Renames;
use super::unique_mtimes::UniqueMtimes;
use super::watch::Watches;
use crate::paths::{Root, Roots};
use crate::quota::{Buffers, Quota};

/// The directories that all files are found beneath: the workspace, and those that the deployment
/// adds.
#[derive(Debug)]
pub struct Workspace {
    pub(super) roots: Roots,
    /// The same, as clients know them.
    pub(super) file_roots: FileRoots,
    /// The owner of new files and directories; `None`: the server's own user.
    pub(super) owner: Option<(Uid, Gid)>,
    /// The memory that transfers share.
    pub(super) buffers: Buffers,
    /// The entries that are being changed.
    pub(super) locks: Locks,
    /// The times that were given to files.
    pub(super) unique_mtimes: UniqueMtimes,
    /// Limits the requests that walk through trees.
    pub(super) walks: Quota,
    pub(super) watches: Watches,
    /// The renames that finish what is written.
    pub(super) renames: Renames,
    /// Limits the searches.
    pub(super) searches: Quota,
    root: PathBuf,
}

impl Workspace {
    /// Opens the workspace at `root`, an existing directory. New files and directories get `owner`,
    /// where the server may give it; without one they belong to the server's user.
    pub fn open(root: &Path, owner: Option<(Uid, Gid)>) -> io::Result<Self> {
        let unlimited = Limit {
            name: "",
            value: u64::MAX,
        };
        Ok(Self {
            roots: Roots::new(vec![Root::open(root, workspace_path::WORKSPACE)?]),
            file_roots: FileRoots::default(),
            owner,
            buffers: Buffers::default(),
            locks: Locks::default(),
            unique_mtimes: UniqueMtimes::default(),
            walks: walks(unlimited),
            searches: searches(unlimited),
            watches: Watches::new(unlimited, unlimited),
            renames: Renames::default(),
            root: root.to_owned(),
        })
    }

    /// Adds these roots. One that does not exist is created.
    pub fn with_roots(self, roots: &FileRoots) -> io::Result<Self> {
        Ok(Self {
            roots: open_roots(&self.root, roots, self.owner)?,
            file_roots: roots.clone(),
            ..self
        })
    }

    /// Lets its transfers share `buffers` with others.
    pub fn sharing(self, buffers: Buffers) -> Self {
        Self { buffers, ..self }
    }

    /// Applies `limits`.
    pub fn limited(self, limits: &Limits) -> Self {
        Self {
            walks: walks(limits.max_file_walks),
            searches: searches(limits.max_searches),
            watches: Watches::new(limits.max_watches, limits.max_watched_directories),
            ..self
        }
    }
}

/// Opens the directories of `roots`, with the workspace at `workspace`. One that does not exist is
/// created, for `owner`.
pub(crate) fn open_roots(
    workspace: &Path,
    roots: &FileRoots,
    owner: Option<(Uid, Gid)>,
) -> io::Result<Roots> {
    let mut opened = Vec::new();
    for name in roots.iter() {
        let directory = match name {
            workspace_path::WORKSPACE => workspace,
            other => Path::new(other),
        };
        let root = create(directory, owner).and_then(|()| Root::open(directory, name));
        opened.push(root.map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?);
    }
    Ok(Roots::new(opened))
}

fn walks(limit: Limit) -> Quota {
    Quota::new("listings, copies and deletes at a time", limit)
}

fn searches(limit: Limit) -> Quota {
    Quota::new("searches at a time", limit)
}

/// Creates a directory that does not exist.
fn create(directory: &Path, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    if directory.exists() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    match owner {
        Some((uid, gid)) => chown(directory, Some(uid.as_raw()), Some(gid.as_raw())),
        None => Ok(()),
    }
}
