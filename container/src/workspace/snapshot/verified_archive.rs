//! The archive of a snapshot that is being restored: decompressed, hashed, and checked at its end.

use std::io::{self, BufRead, Read};

use sandbox_protocol::hex::hex;
use sandbox_protocol::snapshot::RestoreQuery;
use sha2::{Digest as _, Sha256};

use super::super::input::{BUFFER, ZSTD_WINDOW};
use super::index::contents_at_end;

/// The bytes at the end of an archive that are kept until it is checked: more than the contents have.
const TAIL: usize = 256 * 1024;

/// The tar in an archive.
pub(super) struct VerifiedArchive<R: BufRead> {
    frames: zstd::Decoder<'static, Tail<R>>,
    buffer: Vec<u8>,
    /// The bytes of the buffer that were read.
    read: usize,
    hash: Sha256,
}

impl<R: BufRead> VerifiedArchive<R> {
    pub(super) fn new(archive: R) -> io::Result<Self> {
        let tail = Tail {
            inner: archive,
            tail: Vec::with_capacity(2 * TAIL),
            bytes: 0,
        };
        let mut frames = zstd::Decoder::with_buffer(tail)?;
        frames.window_log_max(ZSTD_WINDOW)?;
        Ok(Self {
            frames,
            buffer: Vec::with_capacity(BUFFER),
            read: 0,
            hash: Sha256::new(),
        })
    }

    /// Checks an archive that was read to its end and has `count` members. The error says why it is
    /// not the one that was saved.
    pub(super) fn check(self, wanted: &RestoreQuery, count: u64) -> Result<(), String> {
        let sha256 = hex(&self.hash.finalize());
        if sha256 != wanted.sha256 {
            return Err(format!("the archive has the SHA-256 {sha256}"));
        }
        if count != wanted.files {
            return Err(format!("the archive has {count} files"));
        }
        let archive = self.frames.finish();
        let contents = contents_at_end(&archive.tail).ok_or("the archive is truncated")?;
        if contents.archive_bytes != archive.bytes || contents.sha256 != sha256 || contents.files != count {
            return Err("the end of the archive is that of another one".to_owned());
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for VerifiedArchive<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.buffer.len() {
            self.read = 0;
            self.buffer.resize(BUFFER, 0);
            let read = self.frames.read(&mut self.buffer);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read?;
            self.hash.update(&self.buffer);
        }
        Ok(self.buffer.get(self.read..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount;
    }
}

impl<R: BufRead> Read for VerifiedArchive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Counts the bytes of an archive, and keeps the last ones.
struct Tail<R> {
    inner: R,
    tail: Vec<u8>,
    bytes: u64,
}

impl<R: BufRead> BufRead for Tail<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes += amount as u64;
        // Cannot fail: these bytes are in its buffer.
        let block = self.inner.fill_buf().unwrap_or_default();
        let block = block.get(..amount).unwrap_or(block);
        let kept = block.get(block.len().saturating_sub(TAIL)..).unwrap_or_default();
        if self.tail.len() + kept.len() > 2 * TAIL {
            let old = self.tail.len().saturating_sub(TAIL);
            self.tail.drain(..old);
        }
        self.tail.extend_from_slice(kept);
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
