//! The bytes of a tar as Zstandard frames that can be decompressed one by one.

use std::fs::File;
use std::io;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use sandbox_protocol::snapshot::FRAME_BYTES;
use sha2::{Digest as _, Sha256};
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use super::super::ZEROS;
use super::parts::PartSink;

/// The fastest level that compresses more than others of its speed.
const LEVEL: i32 = 1;

/// The largest header of a member: of its name and of a link's target, each at most 4096 bytes.
const HEADER: usize = 16 * 1024;

/// The memory of a [`Frames`].
pub(super) const HELD: u64 = 3 * FRAME_BYTES as u64;

/// Makes the frames of one archive.
pub(super) struct Frames {
    sink: PartSink,
    compressor: Compressor<'static>,
    /// The bytes of the tar in the current frame.
    raw: Vec<u8>,
    packed: Vec<u8>,
    /// The bytes that the sink has.
    offset: u64,
    hash: Sha256,
}

impl Frames {
    pub(super) fn new(sink: PartSink) -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self {
            sink,
            compressor,
            raw: Vec::with_capacity(FRAME_BYTES + HEADER),
            packed: Vec::with_capacity(compress_bound(FRAME_BYTES + HEADER)),
            offset: 0,
            hash: Sha256::new(),
        })
    }

    /// The offset of the current frame in the archive, and that of the next byte in this frame.
    pub(super) fn position(&mut self) -> io::Result<(u64, u64)> {
        self.end_full()?;
        Ok((self.offset, self.raw.len() as u64))
    }

    /// Writes the header of a member.
    pub(super) fn header(&mut self, header: &[u8]) -> io::Result<()> {
        self.end_full()?;
        self.raw.extend_from_slice(header);
        Ok(())
    }

    /// Reads at most `most` bytes, at least one, of `file` from `offset`; returns how many. 0: there
    /// are no more. The outer error is the sink's, the inner one the file's.
    pub(super) fn copy(&mut self, file: &File, offset: u64, most: u64) -> io::Result<Result<u64, Errno>> {
        self.end_full()?;
        let before = self.raw.len();
        let free = (FRAME_BYTES - before) as u64;
        let most = usize::try_from(most.min(free)).unwrap_or(FRAME_BYTES);
        let read = loop {
            match pread(file, spare_capacity(&mut self.raw), offset) {
                Err(Errno::INTR) => {}
                Err(errno) => return Ok(Err(errno)),
                Ok(read) => break read.min(most),
            }
        };
        self.raw.truncate(before + read);
        Ok(Ok(read as u64))
    }

    /// Writes zeros.
    pub(super) fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            self.end_full()?;
            let free = (FRAME_BYTES - self.raw.len()) as u64;
            let written = count.min(free).min(ZEROS.len() as u64);
            let zeros = usize::try_from(written).ok().and_then(|count| ZEROS.get(..count));
            self.raw.extend_from_slice(zeros.unwrap_or_default());
            count -= written;
        }
        Ok(())
    }

    /// Ends the tar. Returns its hash, the sink, and the bytes that the sink has.
    pub(super) fn finish(mut self) -> io::Result<(Sha256, PartSink, u64)> {
        if !self.raw.is_empty() {
            self.end_frame()?;
        }
        Ok((self.hash, self.sink, self.offset))
    }

    fn end_full(&mut self) -> io::Result<()> {
        if self.raw.len() >= FRAME_BYTES {
            self.end_frame()?;
        }
        Ok(())
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.hash.update(&self.raw);
        self.packed.clear();
        // Headers of an unusual length.
        self.packed.reserve(compress_bound(self.raw.len()));
        self.compressor.compress_to_buffer(&self.raw, &mut self.packed)?;
        self.sink.write(&self.packed)?;
        self.offset += self.packed.len() as u64;
        self.raw.clear();
        Ok(())
    }
}
