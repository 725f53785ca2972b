//! Writes the archive of a tree from its list.
//!
//! Members have the metadata of the list. So has the content of a file that was cloned at the moment of
//! the list; that of another one is read now. One that has changed since then, or is gone, is counted.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Mode, Statx, openat};
use rustix::io::Errno;
use sandbox_protocol::hex::hex;
use sandbox_protocol::snapshot::{Contents, IndexKind};
use sha2::Digest as _;
use tar::EntryType;

use super::super::BLOCK;
use super::super::error::printable;
use super::super::header::Member;
use super::super::writer::{Stop, padding};
use super::frames::Frames;
use super::index::{Index, contents_frame};
use super::list::{FileId, List, Record, Status};
use super::parts::PartSink;
use super::volatile_files::Copies;
use crate::paths::{Descent, FILE, components, next_data, pin_directory, status};

/// The most paths of changed files that are told.
const MAX_CHANGED: usize = 100;

/// The most bytes of them together.
const MAX_CHANGED_BYTES: usize = 32 * 1024;

/// A tree to archive.
pub(super) struct Source {
    /// Its root.
    pub root: OwnedFd,
    /// Its entries.
    pub list: List,
    /// Copies of some of its files.
    pub copies: Copies,
    /// The time of the list: seconds since 1970, and nanoseconds.
    pub listed_at: (i64, u32),
}

/// Writes the archive of a tree into `sink`. `contents` has what is known of it before.
pub(super) fn write(source: Source, contents: Contents, sink: PartSink) -> Result<(), Stop> {
    let mut writer = Writer {
        tree: Descent::new(source.root),
        copies: &source.copies,
        listed_at: source.listed_at,
        frames: Frames::new(sink).map_err(Stop::Failed)?,
        index: Index::new().map_err(Stop::Failed)?,
        contents,
        linked: HashMap::new(),
        name: Vec::new(),
        header: Vec::with_capacity(4 * BLOCK),
        changed_bytes: 0,
    };
    let mut records = source.list.read().map_err(Stop::Failed)?;
    let mut record = Record::default();
    while records.next(&mut record).map_err(Stop::Failed)? {
        writer.entry(&record)?;
    }
    writer.finish()
}

struct Writer<'s> {
    tree: Descent,
    copies: &'s Copies,
    listed_at: (i64, u32),
    frames: Frames,
    index: Index,
    contents: Contents,
    /// The first name of a file that has several, and its location in the archive.
    linked: HashMap<FileId, (Vec<u8>, (u64, u64))>,
    /// The name of the current member, `./…`.
    name: Vec<u8>,
    header: Vec<u8>,
    changed_bytes: usize,
}

impl Writer<'_> {
    fn entry(&mut self, record: &Record) -> Result<(), Stop> {
        let Some(kind) = record.status.kind() else {
            return Ok(());
        };
        self.name.clear();
        self.name.extend_from_slice(b"./");
        self.name.extend_from_slice(&record.path);
        match kind {
            IndexKind::File => return self.file(record),
            IndexKind::Directory if record.path.is_empty() => {}
            IndexKind::Directory => self.name.push(b'/'),
            IndexKind::Symlink => {}
        }
        let tar_kind = match kind {
            IndexKind::Symlink => EntryType::Symlink,
            _ => EntryType::Directory,
        };
        self.header(record, tar_kind, &record.target, 0)?;
        self.indexed(record, kind).map(drop)
    }

    fn file(&mut self, record: &Record) -> Result<(), Stop> {
        let recorded = &record.status;
        if recorded.is_linked
            && let Some((target, place)) = self.linked.get(&recorded.id())
        {
            let (target, place) = (target.clone(), *place);
            self.header(record, EntryType::Link, &target, 0)?;
            self.contents.files += 1;
            let pushed = self.index.push(record, IndexKind::File, place);
            return pushed.map_err(Stop::Failed);
        }
        if let Some((copy, offset)) = self.copies.find(recorded.id()) {
            return self.member(record, copy, offset, true);
        }
        let opened = self.open(record).map_err(|errno| self.failed(errno))?;
        let Some((file, before)) = opened else {
            self.changed(record);
            return Ok(());
        };
        let has_holes = before.stx_blocks.saturating_mul(512) < recorded.size;
        self.member(record, &file, 0, has_holes)?;
        let after = status(file.as_fd(), c"").map_err(|errno| self.failed(errno))?;
        let is_as_listed = |status: &Statx| Status::new(status) == *recorded;
        if !is_as_listed(&before) || !is_as_listed(&after) || recorded.ctime > self.listed_at {
            self.changed(record);
        }
        Ok(())
    }

    /// Writes the member of a file whose content begins at `offset` of `file`.
    fn member(&mut self, record: &Record, file: &File, offset: u64, has_holes: bool) -> Result<(), Stop> {
        let Status { size, is_linked, .. } = record.status;
        self.header(record, EntryType::Regular, b"", size)?;
        let location = self.indexed(record, IndexKind::File)?;
        if is_linked {
            self.linked
                .insert(record.status.id(), (self.name.clone(), location));
        }
        self.contents.bytes = self.contents.bytes.saturating_add(size);
        let read = self.content(file, offset, size, has_holes)?;
        self.zeros(size - read + padding(size))
    }

    /// Opens a file, and its status; `None` when there is no such file any more.
    fn open(&mut self, record: &Record) -> Result<Option<(File, Statx)>, Errno> {
        let names: Vec<_> = components(&record.path).collect();
        let Some((name, parents)) = names.split_last() else {
            return Ok(None);
        };
        let parent = self.tree.go(parents, pin_directory).map_err(|(_, errno)| errno);
        let opened = parent.and_then(|parent| openat(parent, OsStr::from_bytes(name), FILE, Mode::empty()));
        let file = match opened {
            Ok(opened) => File::from(opened),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let status = status(file.as_fd(), c"")?;
        let is_file = Status::new(&status).kind() == Some(IndexKind::File);
        Ok(is_file.then_some((file, status)))
    }

    /// Writes the `size` bytes from `offset` of a file; returns how many there were. Does not read
    /// holes.
    fn content(&mut self, file: &File, offset: u64, size: u64, has_holes: bool) -> Result<u64, Stop> {
        let end = offset + size;
        let mut at = offset;
        let mut data_end = if has_holes { at } else { end };
        while at < end {
            if at == data_end {
                let Some((start, next_hole)) = next_data(file, at, end) else {
                    break;
                };
                self.zeros(start - at)?;
                (at, data_end) = (start, next_hole);
            }
            let copied = self.frames.copy(file, at, data_end - at).map_err(gone)?;
            match copied.map_err(|errno| self.failed(errno))? {
                0 => break,
                copied => at += copied,
            }
        }
        Ok(at - offset)
    }

    fn header(&mut self, record: &Record, kind: EntryType, target: &[u8], size: u64) -> Result<(), Stop> {
        let status = &record.status;
        self.header.clear();
        let member = Member {
            name: &self.name,
            kind,
            target,
            size,
            mode: status.permissions(),
            mtime: status.mtime,
            uid: status.uid,
            gid: status.gid,
        };
        member.write_to(&mut self.header);
        self.frames.header(&self.header).map_err(gone)
    }

    /// Adds the member whose header was written to the index; returns its location.
    fn indexed(&mut self, record: &Record, kind: IndexKind) -> Result<(u64, u64), Stop> {
        let location = self.frames.position().map_err(gone)?;
        let pushed = self.index.push(record, kind, location);
        pushed.map_err(Stop::Failed)?;
        self.contents.files += u64::from(!record.path.is_empty());
        Ok(location)
    }

    fn changed(&mut self, record: &Record) {
        self.contents.changed += 1;
        let path = String::from_utf8_lossy(&record.path);
        self.changed_bytes = self.changed_bytes.saturating_add(path.len());
        if self.contents.changed_paths.len() < MAX_CHANGED && self.changed_bytes <= MAX_CHANGED_BYTES {
            self.contents.changed_paths.push(path.into_owned());
        }
    }

    fn zeros(&mut self, count: u64) -> Result<(), Stop> {
        self.frames.zeros(count).map_err(gone)
    }

    fn finish(mut self) -> Result<(), Stop> {
        // The end of a tar.
        self.zeros(2 * BLOCK as u64)?;
        let (hash, mut sink, offset) = self.frames.finish().map_err(gone)?;
        let index = self.index.finish().map_err(Stop::Failed)?;
        let mut contents = self.contents;
        contents.sha256 = hex(&hash.finalize());
        contents.index_offset = offset;
        contents.index_length = index.len() as u64;
        let last = contents_frame(&mut contents, offset + index.len() as u64).map_err(Stop::Failed)?;
        let written = sink.write(&index).and_then(|()| sink.write(&last));
        written.and_then(|()| sink.finish(contents)).map_err(gone)
    }

    fn failed(&self, errno: Errno) -> Stop {
        let error = io::Error::from(errno);
        let name = printable(self.name.get(2..).unwrap_or_default());
        Stop::Failed(io::Error::new(error.kind(), format!("{name}: {error}")))
    }
}

fn gone(_: io::Error) -> Stop {
    Stop::Gone
}
