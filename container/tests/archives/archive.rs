//! Archives to send to a `sandboxd`, well-formed ones and others.

use std::io::Write as _;

use tar::{EntryType, Header};

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive built member by member, with names and kinds that no ordinary tar writes.
#[derive(Clone, Default)]
pub struct Archive(Vec<u8>);

impl Archive {
    pub fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.member(EntryType::Regular, name, "", 0o644, bytes)
    }

    pub fn directory(self, name: &str) -> Self {
        self.member(EntryType::Directory, name, "", 0o755, b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.member(EntryType::Symlink, name, target, 0o777, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.member(EntryType::Link, name, target, 0o644, b"")
    }

    pub fn member(mut self, kind: EntryType, name: &str, target: &str, mode: u32, bytes: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    /// Without its end.
    pub fn unfinished(self) -> Vec<u8> {
        self.0
    }
}
