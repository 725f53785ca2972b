//! Writes the workspace as a tar, in one pass.
//!
//! The writer goes from directory descriptor to directory descriptor and follows no link, so that a
//! directory that a command replaces meanwhile cannot lead it outside. A header always agrees with
//! the bytes after it: a file that grows is cut, one that shrinks is padded with zeros, and one
//! that vanishes before it is opened is left out.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, Statx, openat, readlinkat};
use rustix::io::Errno;
use tar::EntryType;

use super::error::printable;
use super::exclude::Excludes;
use super::header::Member;
use super::level::Level;
use super::output::Output;
use super::{BLOCK, ZEROS, content, is_temporary, link};
use crate::paths::{DIRECTORY, FILE, Mount, Names, OPEN, next_data, status};

/// Files up to this size are read before their header is written, which then has the number of
/// bytes read.
const SMALL: u64 = 64 * 1024;

/// Why the archive was not finished.
pub(super) enum Stop {
    /// Nobody reads the archive any more.
    Gone,
    /// The workspace could not be read; the text names the file.
    Failed(io::Error),
}

/// Writes the directory `root`, its whole content, and the end of the archive. Links name the
/// workspace by `names`.
pub(super) fn write_tree(
    root: OwnedFd,
    names: &Names,
    excludes: &Excludes,
    output: &mut Output,
) -> Result<(), Stop> {
    let mut writer = Writer {
        names,
        excludes,
        output,
        mount: Mount::default(),
        levels: Vec::new(),
        name: b"./".to_vec(),
        header: Vec::with_capacity(4 * BLOCK),
        small: Vec::with_capacity(SMALL as usize),
    };
    let status = status(root.as_fd(), c"").map_err(|e| writer.failed(e))?;
    writer.mount = Mount::from_status(&status);
    let top = openat(&root, ".", DIRECTORY, Mode::empty()).map_err(|e| writer.failed(e))?;
    writer.enter(root, &status)?;
    while let Some(level) = writer.levels.last_mut() {
        writer.name.truncate(level.name_length);
        let Some(entry) = level.entries.as_mut().and_then(Dir::read) else {
            writer.leave(&top)?;
            continue;
        };
        if let Ok(entry) = &entry {
            level.offset = entry.offset();
        }
        let entry = entry.map_err(|e| writer.failed(e))?;
        writer.entry(entry.file_name(), entry.file_type())?;
    }
    writer.write(&[0; 2 * BLOCK])
}

struct Writer<'w> {
    names: &'w Names,
    excludes: &'w Excludes,
    output: &'w mut Output,
    mount: Mount,
    levels: Vec<Level>,
    /// The name of the current entry, `./…`.
    name: Vec<u8>,
    header: Vec<u8>,
    small: Vec<u8>,
}

impl Writer<'_> {
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
        // An entry that still has another kind, or is gone, was replaced at every attempt.
        let _ = written;
        Ok(())
    }

    /// Writes the entry with the last name, if it is of `kind`.
    fn by_kind(&mut self, name: &CStr, mut kind: FileType) -> Result<Result<(), Changed>, Stop> {
        let Some(level) = self.levels.last() else {
            return Ok(Ok(()));
        };
        let Some(entries) = &level.entries else {
            return Ok(Ok(()));
        };
        let directory = entries.fd().map_err(|e| self.failed(e))?;
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
                    // It is not a link any more.
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
        if Mount::from_status(&status) != self.mount {
            return Ok(Ok(()));
        }
        match FileType::from_raw_mode(status.stx_mode.into()) {
            FileType::Directory => {
                if self
                    .excludes
                    .contains_directory(self.name.get(2..).unwrap_or_default())
                {
                    return Ok(Ok(()));
                }
                self.name.push(b'/');
                self.enter(opened, &status).map(Ok)
            }
            FileType::RegularFile => self.file(&File::from(opened), &status).map(Ok),
            _ => Ok(Err(Changed::Kind)),
        }
    }

    /// The result for an entry that could not be opened.
    fn unopened(&self, errno: Errno) -> Result<Result<(), Changed>, Stop> {
        match errno {
            Errno::NOENT => Ok(Ok(())),
            // A link; not a directory; a socket or a device without a driver.
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::NODEV => Ok(Err(Changed::Kind)),
            errno => Err(self.failed(errno)),
        }
    }

    fn enter(&mut self, directory: OwnedFd, status: &Statx) -> Result<(), Stop> {
        self.header(status, EntryType::Directory, b"", 0)?;
        let level = Level::new(directory, status, self.name.len());
        self.levels.push(level.map_err(|e| self.failed(e))?);
        let above = self.levels.len().checked_sub(OPEN + 1);
        if let Some(above) = above.and_then(|above| self.levels.get_mut(above)) {
            above.entries = None;
        }
        Ok(())
    }

    /// Goes back to the directory above. The rest of one that was moved is left out, like files
    /// that vanish before they are opened.
    fn leave(&mut self, top: &OwnedFd) -> Result<(), Stop> {
        let (Some(below), Some(level)) = (self.levels.pop(), self.levels.last_mut()) else {
            return Ok(());
        };
        self.name.truncate(level.name_length);
        let reopened = level.reopen(&below, top, &self.name);
        reopened.map_err(|e| self.failed(e))
    }

    fn link(&mut self, status: &Statx, target: &[u8]) -> Result<(), Stop> {
        let target = link::relative(self.names, &self.name, target);
        self.header(status, EntryType::Symlink, &target, 0)
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
        content::read_small(file, status.stx_size, &mut small).map_err(|e| self.failed(e))?;
        let size = small.len() as u64;
        self.header(status, EntryType::Regular, b"", size)?;
        self.write(&small)?;
        self.small = small;
        self.zeros(padding(size))
    }

    /// Writes the bytes of a large file; returns how many of the announced ones there were. Does
    /// not read holes.
    fn content(&mut self, file: &File, status: &Statx) -> Result<u64, Stop> {
        let size = status.stx_size;
        let has_holes = status.stx_blocks.saturating_mul(512) < size;
        let mut at = 0;
        let mut data_end = if has_holes { 0 } else { size };
        while at < size {
            if at == data_end {
                let Some((start, end)) = next_data(file, at, size) else {
                    // A hole to the end; or the file is shorter by now, which reads as zeros all
                    // the same.
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
            mtime: (status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec),
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
        let name = printable(&self.name);
        Stop::Failed(io::Error::new(error.kind(), format!("{name}: {error}")))
    }
}

/// The name leads to something else by now.
#[derive(Debug, PartialEq, Eq)]
enum Changed {
    Kind,
}

fn gone(_: io::Error) -> Stop {
    Stop::Gone
}

/// The zeros that fill the last block of `size` bytes.
pub(super) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}
