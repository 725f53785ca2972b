//! The workspace as an archive, out on `/persist` and in on `/hydrate`.
//!
//! # Theory of operation
//!
//! Both have a thread of their own for the files, and a bounded channel between it and the request: a client that is
//! slow, or a disk that is, holds up nobody else, and memory stays bounded whatever the archive's size.
//!
//! Out: `walk` goes through the tree by directory descriptors and writes each member as it finds it, with the `header`s
//! of ustar and PAX, without what `exclude` matches, into `output`, which compresses if asked. What goes wrong after the
//! first bytes breaks the body off; an archive that ends properly is complete.
//!
//! In: `input` decompresses, `reader` takes the archive apart (with `pax` and `sparse`), `unpack` makes a tree of it in a
//! `staging` directory beside the workspace. Once the whole body was received and understood, `merge` moves that tree in
//! and `directories` get their modes and times. Until then the workspace is as it was, and whatever ends a hydrate before
//! leaves nothing.
//!
//! Names in archives are never given to the kernel as paths: both ways go through `descent`s or the like, one name at a
//! time from a pinned directory, and follow no link.

mod content;
mod descent;
mod directories;
mod exclude;
mod header;
mod hydrate;
mod input;
mod merge;
mod output;
mod pax;
mod persist;
mod reader;
mod sparse;
mod staging;
mod status;
mod unpack;
mod walk;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get, post};
use rustix::fs::{Gid, Mode, OFlags, Uid, open, openat};
use rustix::io::Errno;
use sandbox_protocol::{Invalid, Limits, sandboxd};

use crate::error::Error;
use crate::files;
use crate::quota::{Buffers, Quota};

/// The size of a block of a tar.
const BLOCK: usize = 512;

/// What is written for nothing.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// The most bytes of a name that an error repeats.
const SHOWN: usize = 300;

/// A workspace that archives are made of and unpacked into.
#[derive(Debug)]
pub struct Archives {
    root: OwnedFd,
    place: staging::Place,
    /// Who owns what is unpacked; `None`: the server's own user.
    owner: Option<(Uid, Gid)>,
    under_way: Quota,
    /// Where transfers take their room.
    buffers: Buffers,
    /// Held while an unpacked archive is moved in.
    merging: Mutex<()>,
}

impl Archives {
    /// Opens the workspace at `root`, an existing directory. What is unpacked belongs to `owner`, where the server may
    /// give it. Archives are unpacked beside the workspace first: in `volume`, a directory that holds the workspace by
    /// its name, or without one in the directory that it is in; where they cannot be renamed from there, in itself.
    ///
    /// As many are under way at a time as `limits` say, and take room in `buffers`.
    pub fn open(
        root: &Path,
        volume: Option<&Path>,
        owner: Option<(Uid, Gid)>,
        limits: &Limits,
        buffers: Buffers,
    ) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: open(root, flags, Mode::empty())?,
            place: staging::Place::open(root, volume)?,
            owner,
            under_way: Quota::new("archives at a time", limits.max_archives),
            buffers,
            merging: Mutex::default(),
        })
    }

    /// The workspace, to be read.
    fn open_root(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.root, ".", flags, Mode::empty())
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

/// The error for a member that could not be written.
fn failure(name: &[u8], errno: Errno) -> Error {
    let name = shown(name);
    match errno {
        Errno::NAMETOOLONG => Invalid::request(format!("{name}: the name is too long")).into(),
        // A name that the file system does not take.
        Errno::ILSEQ | Errno::INVAL => Invalid::request(format!("{name}: {}", io::Error::from(errno))).into(),
        Errno::NOSPC | Errno::DQUOT => Error::Write(errno.into()),
        errno => {
            let e = io::Error::from(errno);
            Error::Write(io::Error::new(e.kind(), format!("{name}: {e}")))
        }
    }
}

/// A name as an error repeats it.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..SHOWN).unwrap_or(name)).into_owned()
}

/// Whether a name is one of ours, of something that is not complete.
fn is_temporary(name: &[u8]) -> bool {
    [files::TEMPORARY, staging::PREFIX]
        .iter()
        .any(|prefix| name.strip_prefix(prefix.as_bytes()).is_some_and(files::is_random))
}
