//! The bytes of an archive on their way from the thread that reads the workspace to the response.

use std::fs::File;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use sandbox_protocol::ArchiveFormat;
use tokio::sync::mpsc;

/// The size of a chunk. An archive holds four: one being filled, two that wait, one being sent.
const CHUNK: usize = 256 * 1024;

/// The bytes of all chunks.
pub(super) const HELD: u64 = 4 * CHUNK as u64;

/// The most chunks that may wait.
pub(super) const WAITING: usize = 2;

/// The most bytes of a file that are read at a time for compression.
const BLOCK: usize = 128 * 1024;

/// As fast as the network behind it, rather than as small as can be.
const GZIP_LEVEL: u32 = 1;

/// The fastest level that does not compress worse than [`GZIP_LEVEL`].
const ZSTD_LEVEL: i32 = 1;

/// A message from the thread. A channel that closes without `End` or `Failed` means that the thread
/// is lost.
pub(super) enum Part {
    /// The next bytes.
    Chunk(Bytes),
    /// The archive is complete.
    End,
    /// It cannot be completed.
    Failed(io::Error),
}

/// The output for an archive. Every error means that nobody reads it any more.
pub(super) enum Output {
    Plain(Chunks),
    Gzip(Box<GzEncoder<Chunks>>, Vec<u8>),
    Zstd(Box<zstd::Encoder<'static, Chunks>>, Vec<u8>),
}

/// Fills chunks and sends them.
pub(super) struct Chunks {
    chunk: Vec<u8>,
    parts: mpsc::Sender<Part>,
}

impl Output {
    pub(super) fn new(format: ArchiveFormat, parts: mpsc::Sender<Part>) -> io::Result<Self> {
        let chunks = Chunks {
            chunk: Vec::with_capacity(CHUNK),
            parts,
        };
        let block = || Vec::with_capacity(BLOCK);
        Ok(match format {
            ArchiveFormat::Tar => Self::Plain(chunks),
            ArchiveFormat::TarGz => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(GzEncoder::new(chunks, level)), block())
            }
            ArchiveFormat::TarZst => {
                let mut encoder = zstd::Encoder::new(chunks, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(Box::new(encoder), block())
            }
        })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(chunks) => chunks.write_all(bytes),
            Self::Gzip(encoder, _) => encoder.write_all(bytes),
            Self::Zstd(encoder, _) => encoder.write_all(bytes),
        }
    }

    /// Copies at most `most` bytes, at least one, of `file` from `offset`; returns how many. 0:
    /// there are no more.
    ///
    /// The outer error is the output's, the inner one the file's.
    pub(super) fn copy(&mut self, file: &File, offset: u64, most: u64) -> io::Result<Result<usize, Errno>> {
        match self {
            Self::Plain(chunks) => {
                let read = read_at(file, offset, most, &mut chunks.chunk);
                chunks.send_full()?;
                Ok(read)
            }
            Self::Gzip(encoder, block) => copy_through(block, encoder, file, offset, most),
            Self::Zstd(encoder, block) => copy_through(block, encoder, file, offset, most),
        }
    }

    /// Sends the rest and the end.
    pub(super) fn finish(self) -> io::Result<()> {
        let mut chunks = match self {
            Self::Plain(chunks) => chunks,
            Self::Gzip(encoder, _) => encoder.finish()?,
            Self::Zstd(encoder, _) => encoder.finish()?,
        };
        chunks.send()?;
        chunks.parts.blocking_send(Part::End).map_err(gone)
    }
}

fn copy_through(
    block: &mut Vec<u8>,
    mut encoder: impl Write,
    file: &File,
    offset: u64,
    most: u64,
) -> io::Result<Result<usize, Errno>> {
    block.clear();
    let read = read_at(file, offset, most, block);
    encoder.write_all(block)?;
    Ok(read)
}

/// Appends at most `most` bytes to `buffer`, which must have spare capacity, without growing it.
fn read_at(file: &File, offset: u64, most: u64, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    let before = buffer.len();
    let read = loop {
        match pread(file, spare_capacity(buffer), offset) {
            Err(Errno::INTR) => {}
            read => break read?,
        }
    };
    let read = usize::try_from(most).map_or(read, |most| read.min(most));
    buffer.truncate(before + read);
    Ok(read)
}

impl Chunks {
    fn send_full(&mut self) -> io::Result<()> {
        if self.chunk.len() == self.chunk.capacity() {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.parts.blocking_send(Part::Chunk(chunk.into())).map_err(gone)
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.chunk.capacity() - self.chunk.len();
        let taken = bytes.get(..free).unwrap_or(bytes);
        self.chunk.extend_from_slice(taken);
        self.send_full()?;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gone<T>(_: T) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
