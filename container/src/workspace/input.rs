//! The body of a hydrate as input of the thread that unpacks it: blocks from a channel,
//! decompressed.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use tokio::sync::mpsc;

/// A message from the request. A channel that closes without `End` means that the body broke off.
pub(super) enum Block {
    /// The next bytes.
    Bytes(Bytes),
    /// The whole body was received.
    End,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The start of a skippable frame of Zstandard, which holds no data: `pzstd` writes them. The first
/// byte is one of 16.
const ZSTD_SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// The largest window that a Zstandard frame may ask memory for, as a power of two: the 8 MiB that
/// RFC 8878 asks every decoder for, and what `zstd` uses up to level 19.
pub(super) const ZSTD_WINDOW: u32 = 23;

/// The most bytes that are decompressed at a time.
pub(super) const BUFFER: usize = 128 * 1024;

/// The bytes of the body, in the blocks that they came in.
pub(super) struct Received {
    blocks: mpsc::Receiver<Block>,
    /// The unread rest of the last block.
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

/// The decompressed content of `packed`, in the format that its first bytes show; `None` when it is
/// empty.
pub(super) fn unpacked(mut packed: impl BufRead + 'static) -> io::Result<Option<Box<dyn BufRead>>> {
    let mut magic = Vec::with_capacity(ZSTD.len());
    packed.by_ref().take(ZSTD.len() as u64).read_to_end(&mut magic)?;
    if magic.is_empty() {
        return Ok(None);
    }
    let format = Format::detect(&magic);
    let source = Cursor::new(magic).chain(packed);
    let Some(format) = format else {
        return Ok(Some(Box::new(source)));
    };
    let parts = Parts {
        current: Decoder::Ended(source),
        format,
    };
    Ok(Some(Box::new(BufReader::with_capacity(BUFFER, parts))))
}

/// The members of a gzip stream or the frames of a Zstandard one, concatenated. Zeros after them
/// are padding, as for `gzip` and GNU tar.
struct Parts<R: BufRead> {
    current: Decoder<R>,
    format: Format,
}

#[derive(Clone, Copy)]
enum Format {
    Gzip,
    Zstd,
}

impl Format {
    /// The format of data that begins with these four bytes; `None` when it is not compressed.
    fn detect(magic: &[u8]) -> Option<Self> {
        let is_skippable = matches!(magic, [first, rest @ ..]
            if Self::Zstd.begins_with(*first) && *rest == ZSTD_SKIPPABLE[1..]);
        if magic.starts_with(&GZIP) {
            Some(Self::Gzip)
        } else {
            (magic == ZSTD || is_skippable).then_some(Self::Zstd)
        }
    }

    /// Whether a part in this format begins with this byte.
    fn begins_with(self, first: u8) -> bool {
        match self {
            Self::Gzip => first == GZIP[0],
            Self::Zstd => first == ZSTD[0] || first & 0xf0 == ZSTD_SKIPPABLE[0],
        }
    }

    /// The decoder of the next part.
    fn open<R: BufRead>(self, source: R) -> io::Result<Decoder<R>> {
        Ok(match self {
            Self::Gzip => Decoder::Gzip(Box::new(GzDecoder::new(source))),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(source)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW)?;
                Decoder::Zstd(decoder)
            }
        })
    }
}

enum Decoder<R: BufRead> {
    Gzip(Box<GzDecoder<R>>),
    Zstd(zstd::Decoder<'static, R>),
    /// Between two parts.
    Ended(R),
    /// After an error.
    Failed,
}

impl<R: BufRead> Read for Parts<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.current {
                Decoder::Gzip(part) => part.read(buffer)?,
                Decoder::Zstd(part) => part.read(buffer)?,
                Decoder::Ended(_) | Decoder::Failed => 0,
            };
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let mut source = match std::mem::replace(&mut self.current, Decoder::Failed) {
                Decoder::Gzip(part) => part.into_inner(),
                Decoder::Zstd(part) => part.finish(),
                Decoder::Ended(source) => source,
                Decoder::Failed => return Err(io::ErrorKind::InvalidData.into()),
            };
            let Some(first) = skip_zeros(&mut source)? else {
                self.current = Decoder::Ended(source);
                return Ok(0);
            };
            if !self.format.begins_with(first) {
                return Err(io::Error::other(
                    "something follows the compressed data that is no padding",
                ));
            }
            self.current = self.format.open(source)?;
        }
    }
}

/// Skips zeros. Returns the first other byte, which is not consumed; `None` at the end.
fn skip_zeros(source: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let block = source.fill_buf()?;
        if block.is_empty() {
            return Ok(None);
        }
        let zeros = block.iter().take_while(|byte| **byte == 0).count();
        let next = block.get(zeros).copied();
        source.consume(zeros);
        if next.is_some() {
            return Ok(next);
        }
    }
}
