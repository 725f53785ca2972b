//! The workspace as an archive, out on `/persist` and in on `/hydrate`.
//!
//! # Theory of operation
//!
//! Each request has a thread of its own for the files, and a bounded channel between it and the
//! request: a slow client or a slow disk blocks nobody else, and memory stays bounded whatever the
//! archive's size.
//!
//! Out: `writer` goes through the tree by directory descriptors, a `level` for each, and writes
//! each member as it finds it, with the `header`s of ustar and PAX and with `link`s made relative, into
//! `output`, which compresses if asked. Names that `exclude` matches are left out. An error after
//! the first bytes breaks the body off; an archive that ends properly is complete.
//!
//! In: `input` decompresses, `reader` parses the archive (with `pax` and `sparse`), `unpack` makes
//! a tree of it in a `staging` directory beside the workspace. Once the whole body was received and
//! unpacked, `merge` moves that tree in and `directories` get their modes and times. Until then the
//! workspace is unchanged, and a hydrate that ends early leaves nothing.
//!
//! Names in archives are never given to the kernel as paths: both directions go one name at a time
//! from a pinned directory, as [`crate::paths::Descent`] does, and follow no link.

mod content;
mod directories;
mod error;
mod exclude;
mod header;
mod hydrate;
mod input;
mod level;
mod link;
mod merge;
mod output;
mod pax;
mod persist;
mod reader;
mod snapshot;
mod sparse;
mod staging;
mod turn;
mod unpack;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use rustix::fs::{Gid, Uid};
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{FilePath, FileRoots, Limits, sandboxd, workspace_path};

use crate::error::Error;
use crate::files;
use crate::paths::Roots;
use crate::quota::{Buffers, Quota};
use crate::random::is_random_suffix;

use turn::{Taken, Turn};

pub use snapshot::{Snapshots, router as snapshot_router};

/// The size of a block of a tar.
const BLOCK: usize = 512;

/// Zeros to write as padding.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// A workspace that archives are made of and unpacked into.
#[derive(Debug)]
pub struct Archives {
    /// The workspace, and the directories that the deployment adds.
    roots: Roots,
    file_roots: FileRoots,
    /// The real path of the workspace.
    path: PathBuf,
    staging_parent: staging::StagingParent,
    /// The owner of unpacked files; `None`: the server's own user.
    owner: Option<(Uid, Gid)>,
    under_way: Quota,
    /// The memory that transfers share.
    buffers: Buffers,
    /// Taken while an unpacked archive is moved in, and while a tree is listed.
    merging: Turn,
}

impl Archives {
    /// Opens the workspace at `root`, an existing directory. Unpacked files belong to `owner`,
    /// where the server may give them away. Archives are unpacked beside the workspace first: in
    /// `volume`, a directory that holds the workspace under its name, or without one in the
    /// workspace's parent. Where a rename from there fails, they are unpacked in the workspace
    /// itself.
    ///
    /// `limits` bound the number of archives at a time, which share the memory of `buffers`.
    pub fn open(
        root: &Path,
        volume: Option<&Path>,
        owner: Option<(Uid, Gid)>,
        limits: &Limits,
        buffers: Buffers,
    ) -> io::Result<Self> {
        Ok(Self {
            roots: files::open_roots(root, &FileRoots::default(), owner)?,
            file_roots: FileRoots::default(),
            path: root.to_owned(),
            staging_parent: staging::StagingParent::open(root, volume)?,
            owner,
            under_way: Quota::new("archives at a time", limits.max_archives),
            buffers,
            merging: Turn::default(),
        })
    }
}

impl Archives {
    /// The turn to move an unpacked archive in, or to list a tree. Error: 503, another has it for too long.
    /// Blocks.
    fn turn(&self) -> Result<Taken<'_>, Error> {
        let taken = self.merging.take();
        taken.ok_or(Error::Limit {
            what: "archives that are moved into the workspace at a time",
            limit: Limit {
                name: "fixed",
                value: 1,
            },
        })
    }

    /// Adds these roots, whose directories can be archived, too.
    pub fn with_roots(self, roots: &FileRoots) -> io::Result<Self> {
        Ok(Self {
            roots: files::open_roots(&self.path, roots, self.owner)?,
            file_roots: roots.clone(),
            ..self
        })
    }

    /// The real path of what clients know as `path`.
    fn real_path(&self, path: &FilePath) -> PathBuf {
        match path.root() {
            workspace_path::WORKSPACE => self.path.join(path.relative()),
            _ => path.as_str().into(),
        }
    }
}

/// Serves the workspace as an archive.
///
/// | request | answer |
/// | --- | --- |
/// | `GET`, `POST` on [`sandboxd::PERSIST`] | 200 with the archive that [`sandbox_protocol::PersistOptions`] ask for |
/// | `POST` on [`sandboxd::HYDRATE`] | 200 `{"ok":true}` when the archive is unpacked; [`sandboxd::MAX_UPLOAD_HEADER`] bounds it |
pub fn router<S: Clone + Send + Sync + 'static>(archives: Arc<Archives>) -> Router<S> {
    Router::new()
        .route(sandboxd::PERSIST, get(persist::persist).post(persist::persist))
        .route(sandboxd::HYDRATE, post(hydrate::hydrate))
        .with_state(archives)
}

/// Whether a name is that of one of our incomplete files or directories.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    [files::TEMPORARY, staging::PREFIX]
        .iter()
        .any(|prefix| name.strip_prefix(prefix.as_bytes()).is_some_and(is_random_suffix))
}
