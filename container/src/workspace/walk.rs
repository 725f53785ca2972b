//! The workspace as members of an archive, found and written in one pass.
//!
//! The walk goes from directory descriptor to directory descriptor and follows no link, so that what a command puts in
//! the place of a directory meanwhile cannot lead it outside. What a header says and what follows always agree: a file
//! that grows is cut, one that shrinks is filled up with zeros, what vanishes before it was opened is left out.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, SeekFrom, Statx};
use rustix::fs::{openat, readlinkat, seek};
use rustix::io::Errno;
use tar::EntryType;

use super::exclude::Excludes;
use super::header::Member;
use super::output::Output;
use super::status::{Mount, status};
use super::{BLOCK, ZEROS, is_temporary};
use crate::files::MAX_DEPTH;

/// Files up to this size are read before their header is written: then it says how much there was.
const SMALL: u64 = 64 * 1024;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Never waits: whatever has the name by now, opening it blocks on nothing and becomes no terminal of ours.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Why a walk stopped.
pub(super) enum Stop {
    /// Nobody reads the archive any more.
    Gone,
    /// The workspace could not be read; the text names what of it.
    Failed(io::Error),
}

/// Writes all of the directory `root`, itself included, and the end of the archive.
pub(super) fn write_tree(root: OwnedFd, excludes: &Excludes, output: &mut Output) -> Result<(), Stop> {
    let mut walk = Walk {
        excludes,
        output,
        mount: Mount::default(),
        levels: Vec::new(),
        name: b"./".to_vec(),
        header: Vec::with_capacity(4 * BLOCK),
        small: Vec::with_capacity(SMALL as usize),
    };
    let status = status(root.as_fd(), c"").map_err(|e| walk.failed(e))?;
    walk.mount = Mount::of(&status);
    walk.enter(root, &status)?;
    while let Some(level) = walk.levels.last_mut() {
        walk.name.truncate(level.name_length);
        let Some(entry) = level.entries.read() else {
            walk.levels.pop();
            continue;
        };
        let entry = entry.map_err(|e| walk.failed(e))?;
        walk.entry(entry.file_name(), entry.file_type())?;
    }
    walk.write(&[0; 2 * BLOCK])
}

/// A directory whose entries are being read.
struct Level {
    entries: Dir,
    /// The length of the directory's name, its slash included.
    name_length: usize,
}

struct Walk<'w> {
    excludes: &'w Excludes,
    output: &'w mut Output,
    mount: Mount,
    levels: Vec<Level>,
    /// The name of what is being looked at, `./…`.
    name: Vec<u8>,
    header: Vec<u8>,
    small: Vec<u8>,
}

impl Walk<'_> {
    fn entry(&mut self, name: &CStr, kind: FileType) -> Result<(), Stop> {
        let bytes = name.to_bytes();
        if matches!(bytes, b"." | b"..") || is_temporary(bytes) {
            return Ok(());
        }
        self.name.extend_from_slice(bytes);
        if self.excludes.contains(self.name.get(2..).unwrap_or_default()) {
            return Ok(());
        }
        let mut written = self.by_kind(name, kind)?;
        if written == Err(Changed::Kind) {
            written = self.by_kind(name, FileType::Unknown)?;
        }
        // What is still something else, or nothing, was replaced as often as it was looked at.
        let _ = written;
        Ok(())
    }

    /// Writes what has the last name, if it is `kind`.
    fn by_kind(&mut self, name: &CStr, mut kind: FileType) -> Result<Result<(), Changed>, Stop> {
        let Some(level) = self.levels.last() else {
            return Ok(Ok(()));
        };
        let directory = level.entries.fd().map_err(|e| self.failed(e))?;
        if kind == FileType::Unknown {
            kind = match status(directory, name) {
                Ok(status) => FileType::from_raw_mode(status.stx_mode.into()),
                Err(errno) => return self.unopened(errno),
            };
        }
        let opened = match kind {
            FileType::Directory => openat(directory, name, DIRECTORY, Mode::empty()),
            FileType::RegularFile => openat(directory, name, FILE, Mode::empty()),
            FileType::Symlink => {
                let link = status(directory, name)
                    .and_then(|status| Ok((status, readlinkat(directory, name, Vec::new())?)));
                return match link {
                    Ok((status, target)) => self.link(&status, target.as_bytes()).map(Ok),
                    // No link any more.
                    Err(Errno::INVAL) => Ok(Err(Changed::Kind)),
                    Err(errno) => self.unopened(errno),
                };
            }
            _ => return Ok(Ok(())),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(errno) => return self.unopened(errno),
        };
        let status = status(opened.as_fd(), c"").map_err(|e| self.failed(e))?;
        if Mount::of(&status) != self.mount {
            return Ok(Ok(()));
        }
        match FileType::from_raw_mode(status.stx_mode.into()) {
            FileType::Directory => {
                self.name.push(b'/');
                self.enter(opened, &status).map(Ok)
            }
            FileType::RegularFile => self.file(&File::from(opened), &status).map(Ok),
            _ => Ok(Err(Changed::Kind)),
        }
    }

    /// What it means that something could not be opened.
    fn unopened(&self, errno: Errno) -> Result<Result<(), Changed>, Stop> {
        match errno {
            Errno::NOENT => Ok(Ok(())),
            // A link; no directory; a socket or a device without a driver.
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::NODEV => Ok(Err(Changed::Kind)),
            errno => Err(self.failed(errno)),
        }
    }

    fn enter(&mut self, directory: OwnedFd, status: &Statx) -> Result<(), Stop> {
        if self.levels.len() > MAX_DEPTH {
            return Err(self.failed(Errno::NAMETOOLONG));
        }
        self.header(status, EntryType::Directory, b"", 0)?;
        let entries = Dir::new(directory).map_err(|e| self.failed(e))?;
        self.levels.push(Level {
            entries,
            name_length: self.name.len(),
        });
        Ok(())
    }

    fn link(&mut self, status: &Statx, target: &[u8]) -> Result<(), Stop> {
        self.header(status, EntryType::Symlink, target, 0)
    }

    fn file(&mut self, file: &File, status: &Statx) -> Result<(), Stop> {
        if status.stx_size > SMALL {
            self.header(status, EntryType::Regular, b"", status.stx_size)?;
            let at = self.content(file, status)?;
            self.zeros(status.stx_size - at)?;
            return self.zeros(padding(status.stx_size));
        }
        let mut small = std::mem::take(&mut self.small);
        small.clear();
        read_small(file, status.stx_size, &mut small).map_err(|e| self.failed(e))?;
        let size = small.len() as u64;
        self.header(status, EntryType::Regular, b"", size)?;
        self.write(&small)?;
        self.small = small;
        self.zeros(padding(size))
    }

    /// Writes the bytes of a large file; gives how many of those announced there were. Of a file with holes only the
    /// data is read.
    fn content(&mut self, file: &File, status: &Statx) -> Result<u64, Stop> {
        let size = status.stx_size;
        let has_holes = status.stx_blocks.saturating_mul(512) < size;
        let mut at = 0;
        let mut data_end = if has_holes { 0 } else { size };
        while at < size {
            if at == data_end {
                let Some((start, end)) = next_data(file, at, size) else {
                    // A hole to the end; or the file is shorter by now, which reads as zeros all the same.
                    return Ok(at);
                };
                self.zeros(start - at)?;
                (at, data_end) = (start, end);
            }
            let copied = self.output.copy(file, at, data_end - at).map_err(gone)?;
            match copied.map_err(|e| self.failed(e))? {
                0 => return Ok(at),
                copied => at += copied as u64,
            }
        }
        Ok(at)
    }

    fn header(&mut self, status: &Statx, kind: EntryType, target: &[u8], size: u64) -> Result<(), Stop> {
        self.header.clear();
        let member = Member {
            name: &self.name,
            kind,
            target,
            size,
            mode: u32::from(status.stx_mode) & 0o7777,
            mtime: status.stx_mtime.tv_sec,
            uid: status.stx_uid,
            gid: status.stx_gid,
        };
        member.write_to(&mut self.header);
        self.output.write_all(&self.header).map_err(gone)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.output.write_all(bytes).map_err(gone)
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), Stop> {
        while count > 0 {
            let zeros = usize::try_from(count).ok().and_then(|count| ZEROS.get(..count));
            let zeros = zeros.unwrap_or(&ZEROS);
            self.write(zeros)?;
            count -= zeros.len() as u64;
        }
        Ok(())
    }

    fn failed(&self, errno: Errno) -> Stop {
        let error = io::Error::from(errno);
        let name = super::shown(&self.name);
        Stop::Failed(io::Error::new(error.kind(), format!("{name}: {error}")))
    }
}

/// Something else has the name by now.
#[derive(Debug, PartialEq, Eq)]
enum Changed {
    Kind,
}

fn gone(_: io::Error) -> Stop {
    Stop::Gone
}

/// The zeros that fill the last block of `size` bytes.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// Appends at most `size` bytes to `buffer`, which has room for them.
fn read_small(file: &File, size: u64, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    let size = usize::try_from(size).unwrap_or(buffer.capacity());
    while buffer.len() < size {
        match rustix::io::read(file, rustix::buffer::spare_capacity(buffer)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    buffer.truncate(size);
    Ok(())
}

/// The next part of a file that is no hole, from `at` on and before `size`.
fn next_data(file: &File, at: u64, size: u64) -> Option<(u64, u64)> {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        // A file system that knows no holes.
        Err(_) => return Some((at, size)),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size).min(size);
    (start < end).then_some((start, end))
}
