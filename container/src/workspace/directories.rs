//! The modes and times of an archive's directories, stored until all members are unpacked: each new
//! entry changes the time of its directory, and may need a mode that the directory will not have.
//!
//! Stored in a file, as an archive may have more directories than fit into memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, openat};
use rustix::io::Errno;

use super::reader::Member;
use crate::paths::{Descent, components, pin_directory};

/// The bits of the modes in an archive that are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Modes {
    pub file: u32,
    pub directory: u32,
}

impl Modes {
    /// Without the set-id bits: the archive can come from anywhere.
    pub(super) const SAFE: Self = Self {
        file: 0o777,
        directory: 0o1777,
    };

    /// All: the archive is of the same sandbox, or of another one of the same key.
    pub(super) const ALL: Self = Self {
        file: 0o7777,
        directory: 0o7777,
    };
}

/// The records of directories: all written first, then read from the beginning.
pub(super) struct Directories {
    file: BufWriter<File>,
    pub(super) modes: Modes,
}

impl Directories {
    /// Stores its records in `file`, which is empty, readable and writable.
    pub(super) fn new(file: File, modes: Modes) -> Self {
        Self {
            file: BufWriter::new(file),
            modes,
        }
    }

    /// Records the mode and time that `member` has for the directory with these names.
    pub(super) fn note(&mut self, names: &[&[u8]], member: &Member) -> Result<(), Errno> {
        let path = names.join(&b'/');
        let length = u32::try_from(path.len()).map_err(|_| Errno::NAMETOOLONG)?;
        let (seconds, nanoseconds) = member.mtime;
        let mut write = || {
            self.file
                .write_all(&(member.mode & self.modes.directory).to_ne_bytes())?;
            self.file.write_all(&seconds.to_ne_bytes())?;
            self.file.write_all(&nanoseconds.to_ne_bytes())?;
            self.file.write_all(&length.to_ne_bytes())?;
            self.file.write_all(&path)
        };
        write().map_err(|e: io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO))
    }

    /// Gives the directories below `root` their modes and times, in the order of the archive. Does
    /// not touch what a command has replaced a directory with meanwhile.
    pub(super) fn apply(mut self, root: OwnedFd) -> io::Result<()> {
        self.apply_to(root, |_| true)
    }

    /// As [`apply`](Self::apply), to the directories of those depths that are wanted. That of the root
    /// is 0. Nothing can be noted afterwards.
    pub(super) fn apply_to(&mut self, root: OwnedFd, is_wanted: impl Fn(usize) -> bool) -> io::Result<()> {
        self.file.rewind()?;
        let mut records = BufReader::new(self.file.get_ref());
        let mut tree = Descent::new(root);
        while let Some(mode) = read_mode(&mut records)? {
            let seconds = i64::from_ne_bytes(read(&mut records)?);
            let nanoseconds = u32::from_ne_bytes(read(&mut records)?);
            let mut path = vec![0; u32::from_ne_bytes(read(&mut records)?) as usize];
            records.read_exact(&mut path)?;
            let names: Vec<_> = components(&path).collect();
            if !is_wanted(names.len()) {
                continue;
            }
            let Ok(directory) = tree.go(&names, pin_directory) else {
                continue;
            };
            let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let apply = || {
                let directory = openat(directory, ".", open, Mode::empty())?;
                futimens(&directory, &modified((seconds, nanoseconds)))?;
                fchmod(&directory, Mode::from_raw_mode(mode))
            };
            // Fails for a directory of another owner, if the server is not root.
            let _: Result<(), Errno> = apply();
        }
        Ok(())
    }
}

/// The first field of the next record; `None` when there is none.
fn read_mode(records: &mut impl Read) -> io::Result<Option<u32>> {
    match read(records) {
        Ok(mode) => Ok(Some(u32::from_ne_bytes(mode))),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

fn read<const N: usize>(records: &mut impl Read) -> io::Result<[u8; N]> {
    let mut field = [0; N];
    records.read_exact(&mut field)?;
    Ok(field)
}

/// A time of modification in the kernel's form; the time of the last access stays.
pub(super) fn modified((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        },
    }
}
