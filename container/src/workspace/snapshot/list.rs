//! The entries of a tree as they were at one moment.
//!
//! The archive is written after that moment, from this list: its members, and the metadata of each,
//! are those of the moment. The list is held compressed, in some 20 bytes an entry: a disk that is
//! full must not prevent a save.

use std::io::{self, BufReader, Read, Write as _};
use std::sync::Arc;

use rustix::fs::{FileType, Statx};
use sandbox_protocol::snapshot::IndexKind;

/// As fast as can be: the processes of the sandbox wait.
const LEVEL: i32 = 1;

/// About the bytes of memory that a file with several names takes in an archive, besides its name.
const LINKED_OVERHEAD: u64 = 96;

/// An entry of the tree.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The path below the root, without a slash at its ends; empty for the root itself.
    pub path: Vec<u8>,
    /// The target of a symbolic link.
    pub target: Vec<u8>,
    pub status: Status,
}

/// The identity of a file: its device and its inode.
pub(super) type FileId = ((u32, u32), u64);

/// The status of a file. Two that are equal are of the same file, unchanged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    /// The type and the permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// With the inode, the identity of a file: on one mount, the devices of files may differ.
    pub device: (u32, u32),
    pub inode: u64,
    pub size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
    /// Whether the file has other names, or had them.
    pub is_linked: bool,
}

impl Status {
    pub(super) fn new(status: &Statx) -> Self {
        let kind = FileType::from_raw_mode(status.stx_mode.into());
        Self {
            mode: status.stx_mode.into(),
            uid: status.stx_uid,
            gid: status.stx_gid,
            device: (status.stx_dev_major, status.stx_dev_minor),
            inode: status.stx_ino,
            size: status.stx_size,
            mtime: (status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec),
            ctime: (status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec),
            is_linked: kind.is_file() && status.stx_nlink > 1,
        }
    }

    /// The type in the index; `None` for what is not archived.
    pub(super) fn kind(&self) -> Option<IndexKind> {
        match FileType::from_raw_mode(self.mode) {
            FileType::RegularFile => Some(IndexKind::File),
            FileType::Directory => Some(IndexKind::Directory),
            FileType::Symlink => Some(IndexKind::Symlink),
            _ => None,
        }
    }

    /// The identity of the file.
    pub(super) fn id(&self) -> FileId {
        (self.device, self.inode)
    }

    /// The permissions, with the set-id and sticky bits.
    pub(super) fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }
}

/// A list that is being written.
pub(super) struct Writer {
    records: zstd::Encoder<'static, Vec<u8>>,
    record: Vec<u8>,
    count: u64,
    bytes: u64,
    linked: u64,
}

/// A list.
#[derive(Debug, Clone)]
pub(super) struct List {
    records: Arc<[u8]>,
    /// The number of entries.
    pub count: u64,
    /// About the bytes of a tar of them.
    pub bytes: u64,
    /// About the bytes of memory that the names of files with several names take in an archive.
    pub linked: u64,
}

impl Writer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            records: zstd::Encoder::new(Vec::new(), LEVEL)?,
            record: Vec::new(),
            count: 0,
            bytes: 0,
            linked: 0,
        })
    }

    /// Appends an entry. Returns it in the form in which it is stored.
    pub(super) fn push(&mut self, record: &Record) -> io::Result<&[u8]> {
        let Record { path, target, status } = record;
        self.record.clear();
        for text in [path, target] {
            let length = u32::try_from(text.len()).map_err(io::Error::other)?;
            self.record.extend_from_slice(&length.to_ne_bytes());
            self.record.extend_from_slice(text);
        }
        let (major, minor) = status.device;
        for number in [
            status.mode,
            status.uid,
            status.gid,
            major,
            minor,
            status.is_linked.into(),
        ] {
            self.record.extend_from_slice(&number.to_ne_bytes());
        }
        for number in [status.inode, status.size] {
            self.record.extend_from_slice(&number.to_ne_bytes());
        }
        for (seconds, nanoseconds) in [status.mtime, status.ctime] {
            self.record.extend_from_slice(&seconds.to_ne_bytes());
            self.record.extend_from_slice(&nanoseconds.to_ne_bytes());
        }
        self.records.write_all(&self.record)?;
        self.count += 1;
        if status.is_linked {
            self.linked += path.len() as u64 + LINKED_OVERHEAD;
        }
        let content = if status.kind() == Some(IndexKind::File) {
            status.size
        } else {
            0
        };
        // A header, and a PAX header for the time.
        self.bytes = self.bytes.saturating_add(content).saturating_add(2048);
        Ok(&self.record)
    }

    pub(super) fn finish(self) -> io::Result<List> {
        Ok(List {
            records: self.records.finish()?.into(),
            count: self.count,
            bytes: self.bytes,
            linked: self.linked,
        })
    }
}

impl List {
    /// The bytes of memory that it takes.
    pub(super) fn held(&self) -> u64 {
        self.records.len() as u64
    }

    /// Reads it from its beginning.
    pub(super) fn read(&self) -> io::Result<Reader> {
        let records = io::Cursor::new(Arc::clone(&self.records));
        Ok(Reader {
            records: BufReader::new(Box::new(zstd::Decoder::new(records)?)),
            left: self.count,
        })
    }
}

/// A list that is being read.
pub(super) struct Reader {
    records: BufReader<Box<dyn Read + Send>>,
    left: u64,
}

impl Reader {
    /// Reads the next entry into `record`; false: there is none.
    pub(super) fn next(&mut self, record: &mut Record) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        for text in [&mut record.path, &mut record.target] {
            let length = u32::from_ne_bytes(read(&mut self.records)?);
            text.resize(length as usize, 0);
            self.records.read_exact(text)?;
        }
        let records = &mut self.records;
        let status = &mut record.status;
        let (major, minor) = (&mut status.device.0, &mut status.device.1);
        for number in [&mut status.mode, &mut status.uid, &mut status.gid, major, minor] {
            *number = u32::from_ne_bytes(read(records)?);
        }
        status.is_linked = u32::from_ne_bytes(read(records)?) != 0;
        for number in [&mut status.inode, &mut status.size] {
            *number = u64::from_ne_bytes(read(records)?);
        }
        for time in [&mut status.mtime, &mut status.ctime] {
            *time = (
                i64::from_ne_bytes(read(records)?),
                u32::from_ne_bytes(read(records)?),
            );
        }
        Ok(true)
    }
}

fn read<const N: usize>(records: &mut impl Read) -> io::Result<[u8; N]> {
    let mut field = [0; N];
    records.read_exact(&mut field)?;
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back() {
        let record = |n: u64| Record {
            path: format!("directory/{n}\n").into_bytes(),
            target: if n.is_multiple_of(3) {
                b"t\xff".to_vec()
            } else {
                Vec::new()
            },
            status: Status {
                mode: 0o10_4755,
                uid: 1,
                gid: u32::MAX,
                device: (8, 1),
                inode: n,
                size: n << 32,
                mtime: (-1, 999_999_999),
                ctime: (i64::MAX, 0),
                is_linked: n.is_multiple_of(2),
            },
        };
        let mut writer = Writer::new().unwrap();
        for n in 0..10_000 {
            writer.push(&record(n)).unwrap();
        }
        let list = writer.finish().unwrap();
        assert!(list.held() < 10_000 * 25, "{}", list.held());
        let mut reader = list.read().unwrap();
        let mut read = Record::default();
        for n in 0..10_000 {
            assert!(reader.next(&mut read).unwrap());
            assert_eq!(read, record(n));
        }
        assert!(!reader.next(&mut read).unwrap());
    }
}
