//! The body of a hydrate as the thread that unpacks it reads it: blocks from a channel, decompressed.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use tokio::sync::mpsc;

/// What the request sends. A channel that closes without an end means that the body broke off.
pub(super) enum Block {
    /// The next bytes.
    Bytes(Bytes),
    /// The whole body was received.
    End,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The largest window that a Zstandard frame may ask memory for, as a power of two: the 8 MiB that RFC 8878 asks every
/// decoder for, and what `zstd` uses up to level 19.
const ZSTD_WINDOW: u32 = 23;

/// How much is decompressed at a time.
const BUFFER: usize = 128 * 1024;

/// The bytes of the body, in the blocks that they came in.
pub(super) struct Received {
    blocks: mpsc::Receiver<Block>,
    /// What of the last one is not read yet.
    left: Bytes,
    ended: bool,
}

impl Received {
    pub(super) fn new(blocks: mpsc::Receiver<Block>) -> Self {
        Self {
            blocks,
            left: Bytes::new(),
            ended: false,
        }
    }
}

impl BufRead for Received {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.left.is_empty() && !self.ended {
            match self.blocks.blocking_recv() {
                Some(Block::Bytes(bytes)) => self.left = bytes,
                Some(Block::End) => self.ended = true,
                None => return Err(io::Error::other("the upload broke off")),
            }
        }
        Ok(&self.left)
    }

    fn consume(&mut self, amount: usize) {
        let _ = self.left.split_to(amount.min(self.left.len()));
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// What is packed in `packed`, by its first bytes; `None` when it is empty.
pub(super) fn unpacked(mut packed: impl BufRead + 'static) -> io::Result<Option<Box<dyn BufRead>>> {
    let mut magic = Vec::with_capacity(ZSTD.len());
    packed.by_ref().take(ZSTD.len() as u64).read_to_end(&mut magic)?;
    if magic.is_empty() {
        return Ok(None);
    }
    let (gzip, zstd) = (magic.starts_with(&GZIP), magic == ZSTD);
    let whole = Cursor::new(magic).chain(packed);
    Ok(Some(if gzip {
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole)))
    } else if zstd {
        let mut decoder = zstd::Decoder::with_buffer(whole)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        Box::new(BufReader::with_capacity(BUFFER, decoder))
    } else {
        Box::new(whole)
    }))
}
