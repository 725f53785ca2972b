//! Copies of the files that are likely to change while the archive is made, taken while the processes
//! of the sandbox are stopped.
//!
//! They are the files that a process has open for writing, and those that were changed within the last
//! minute. All are in one file, which has no name: where the file system can, a copy shares the blocks
//! of the original (`copy_file_range` does that). A file is not copied when it does not fit, or when the time is over.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, copy_file_range, openat};
use rustix::io::Errno;
use sandbox_protocol::snapshot::IndexKind;

use super::list::{FileId, Record, Status};
use crate::paths::{Descent, FILE, components, next_data, pin_directory, status};

/// The most bytes of all copies.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The time for which a file counts as one that may change again.
const RECENT: Duration = Duration::from_secs(60);

/// The most files that are remembered because they were changed lately.
const MAX_RECENT: usize = 20_000;

/// The boundary at which a copy begins: that of the blocks of file systems.
const ALIGNMENT: u64 = 4096;

/// The bytes that are copied before the time is looked at.
const PIECE: u64 = 4 * 1024 * 1024;

/// Files to copy.
#[derive(Debug)]
pub(super) struct VolatileFiles {
    /// The inodes of the files that are being written.
    open: HashSet<u64>,
    since: (i64, u32),
    candidates: Vec<Candidate>,
    recent: usize,
}

#[derive(Debug)]
struct Candidate {
    path: Vec<u8>,
    status: Status,
    is_open: bool,
}

/// The copies: each with its offset in the file.
#[derive(Debug, Default)]
pub(super) struct Copies {
    file: Option<File>,
    places: HashMap<FileId, u64>,
}

impl VolatileFiles {
    /// Files that are being written are those with these inodes.
    pub(super) fn new(open: HashSet<u64>) -> Self {
        let since = SystemTime::now() - RECENT;
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            open,
            since: (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), 0),
            candidates: Vec::new(),
            recent: 0,
        }
    }

    /// Looks at an entry of the tree.
    pub(super) fn visit(&mut self, record: &Record) {
        let status = record.status;
        if status.kind() != Some(IndexKind::File) || status.size == 0 {
            return;
        }
        let is_open = self.open.contains(&status.inode);
        if !is_open {
            if status.mtime < self.since || self.recent == MAX_RECENT {
                return;
            }
            self.recent += 1;
        }
        self.candidates.push(Candidate {
            path: record.path.clone(),
            status,
            is_open,
        });
    }

    /// Copies them from the tree `root` into `file`, which is empty: those that are open first, and of
    /// the others those that were changed last. `may_copy` tells whether there is time, for a file that
    /// is open or not.
    pub(super) fn copy(mut self, root: OwnedFd, file: File, may_copy: &dyn Fn(bool) -> bool) -> Copies {
        let order = |candidate: &Candidate| (candidate.is_open, candidate.status.mtime);
        self.candidates
            .sort_by_key(|candidate| std::cmp::Reverse(order(candidate)));
        let mut tree = Descent::new(root);
        let mut places = HashMap::new();
        let (mut end, mut bytes) = (0, 0);
        for candidate in &self.candidates {
            let id = candidate.status.id();
            if !may_copy(candidate.is_open) {
                break;
            }
            if places.contains_key(&id) {
                continue;
            }
            let may_go_on = || may_copy(candidate.is_open);
            match copy(&mut tree, candidate, &file, end, MAX_BYTES - bytes, &may_go_on) {
                Ok(Some(copied)) => {
                    places.insert(id, end);
                    bytes += copied;
                }
                Ok(None) => {}
                Err(e) => {
                    // A full disk, as a rule.
                    tracing::debug!(error = %e, "a file is not copied for a save");
                    break;
                }
            }
            end = (end + candidate.status.size).next_multiple_of(ALIGNMENT);
        }
        Copies {
            file: Some(file),
            places,
        }
    }
}

impl Copies {
    /// The copy of a file, and its offset there.
    pub(super) fn find(&self, id: FileId) -> Option<(&File, u64)> {
        Some((self.file.as_ref()?, *self.places.get(&id)?))
    }
}

/// Copies a file to `offset` of `to`; returns the bytes that were copied. `None`: it has more than
/// `most`, or is another one, or there is no time.
fn copy(
    tree: &mut Descent,
    candidate: &Candidate,
    to: &File,
    offset: u64,
    most: u64,
    may_go_on: &dyn Fn() -> bool,
) -> io::Result<Option<u64>> {
    let Ok(from) = open(tree, candidate) else {
        return Ok(None);
    };
    let size = candidate.status.size;
    let (mut at, mut bytes) = (0, 0);
    while let Some((start, end)) = next_data(&from, at, size) {
        if bytes + (end - start) > most {
            return Ok(None);
        }
        at = start;
        while at < end {
            if !may_go_on() {
                return Ok(None);
            }
            let copied = copy_piece(&from, at, to, offset + at, (end - at).min(PIECE))?;
            if copied == 0 {
                return Ok(None);
            }
            at += copied;
            bytes += copied;
        }
    }
    let copied_to = offset + size;
    if to.metadata()?.len() < copied_to {
        to.set_len(copied_to)?;
    }
    Ok(Some(bytes))
}

/// Opens the file, if it is as it was listed.
fn open(tree: &mut Descent, candidate: &Candidate) -> Result<File, Errno> {
    use std::os::fd::AsFd as _;

    let names: Vec<_> = components(&candidate.path).collect();
    let (name, parents) = names.split_last().ok_or(Errno::NOENT)?;
    let parent = tree.go(parents, pin_directory).map_err(|(_, errno)| errno)?;
    let file = File::from(openat(parent, OsStr::from_bytes(name), FILE, Mode::empty())?);
    match Status::new(&status(file.as_fd(), c"")?) == candidate.status {
        true => Ok(file),
        false => Err(Errno::STALE),
    }
}

/// Copies at most `length` bytes; returns how many.
fn copy_piece(from: &File, at: u64, to: &File, to_at: u64, length: u64) -> io::Result<u64> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (mut offset, mut to_offset) = (at, to_at);
    match copy_file_range(from, Some(&mut offset), to, Some(&mut to_offset), length) {
        Ok(copied) => return Ok(copied as u64),
        // Between these file systems, or in this kernel, it cannot.
        Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut piece = vec![0; length];
    let read = from.read_at(&mut piece, at)?;
    to.write_all_at(piece.get(..read).unwrap_or_default(), to_at)?;
    Ok(read as u64)
}
