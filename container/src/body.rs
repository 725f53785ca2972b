//! Bodies of requests: read into memory, or received in batches. And bodies of responses that hold
//! something.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::http::{HeaderMap, HeaderName, header};
use bytes::BytesMut;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::{Frame, SizeHint};
use sandbox_protocol::{Invalid, sandboxd};

use crate::Error;
use crate::discard::discard;
use crate::end_mark::EndMark;
use crate::quota::{BufferPermit, Buffers};

/// The size of the first buffer for a body that is announced to be larger, in bytes.
const FIRST_READ: usize = 64 * 1024;

/// The size up to which a body needs no permit, in bytes: most bodies are smaller, and their requests
/// are served when the buffers are full.
const SMALL_BODY: usize = 4096;

/// The size from which on the permit of a body covers its parsed form, too, in bytes.
const PARSED_SMALL: usize = 64 * 1024;

/// The memory that a body takes while it is parsed, as a multiple of its size: itself, its strings,
/// and their decoded form.
const PARSE_FACTOR: u64 = 3;

/// A body of a response that holds `value` until it is sent or dropped.
pub fn holding<T: Send + Unpin + 'static>(body: Body, value: T) -> Body {
    Body::new(Holding { body, _value: value })
}

struct Holding<T> {
    body: Body,
    _value: T,
}

impl<T: Unpin> http_body::Body for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The whole `body`, of at most `limit` bytes, and its permit of `buffers`. Errors: 413 when it is
/// longer, 503 when the buffers are full, 400 when it breaks off.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    buffers: &Buffers,
) -> Result<(Vec<u8>, BufferPermit), Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut blocks = body.into_data_stream();
    if announced > limit {
        discard(headers, blocks);
        return Err(too_large(limit));
    }
    // Counts received bytes, not announced ones: a client that announces much and sends little
    // takes nothing from others.
    let mut permit = BufferPermit::default();
    let mut bytes = Vec::new();
    while let Some(block) = blocks.next().await {
        let block = block.map_err(|e| Invalid::request(format!("the request broke off: {e}")))?;
        if bytes.len() + block.len() > limit {
            discard(headers, blocks);
            return Err(too_large(limit));
        }
        let needed = bytes.len() + block.len();
        if needed > bytes.capacity() {
            // Doubled, so that the bytes are seldom moved.
            let size = if announced >= needed {
                announced.min(needed.max(FIRST_READ) * 2)
            } else {
                needed.next_power_of_two()
            };
            if size > SMALL_BODY
                && let Err(full) = buffers.grow(&mut permit, size as u64)
            {
                discard(headers, blocks);
                return Err(full);
            }
            bytes.reserve_exact(size - bytes.len());
        }
        bytes.extend_from_slice(&block);
    }
    Ok((bytes, permit))
}

/// As [`read`], and parses the body. Meanwhile, the permit of a large one covers its parsed form, too;
/// afterwards it covers the size of the body, which the parsed form does not exceed. Errors: those of
/// [`read`] and of `parse`.
pub async fn read_parsed<T>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    buffers: &Buffers,
    parse: impl FnOnce(&[u8]) -> Result<T, Invalid>,
) -> Result<(T, BufferPermit), Error> {
    let (body, mut permit) = read(headers, body, limit, buffers).await?;
    if body.len() > PARSED_SMALL {
        buffers.grow(&mut permit, body.len() as u64 * PARSE_FACTOR)?;
    }
    let parsed = parse(&body)?;
    permit.shrink(body.len() as u64);
    Ok((parsed, permit))
}

fn too_large(limit: usize) -> Error {
    Error::TooLarge { limit: limit as u64 }
}

/// The size in bytes at which a batch of an [`Upload`] is full.
pub const BATCH: usize = 1024 * 1024;

/// The most blocks of a batch, so that a body of tiny blocks takes no more memory than one of large
/// ones.
const BATCH_BLOCKS: usize = 256;

/// The size in bytes at which a piece of an [`Upload`] is complete.
pub const PIECE: usize = 256 * 1024;

/// Blocks of this size in bytes and above are forwarded instead of copied.
const LARGE: usize = 64 * 1024;

/// The body of an upload of any size, received as a stream. Holds what the Worker's headers say of
/// it: the most bytes that it may have, and the mark at its end.
pub struct Upload {
    body: BodyDataStream,
    received: u64,
    /// The most bytes, without the mark.
    limit: u64,
    mark: Option<EndMark>,
    buffers: Buffers,
    /// The buffer permit of the bytes that are held.
    permit: BufferPermit,
    /// The most bytes that are held at a time.
    held: u64,
}

impl Upload {
    /// An upload of which nothing is known yet. At most `held` of its bytes are held at a time;
    /// they count in `buffers`.
    pub fn new(body: Body, buffers: Buffers, held: usize) -> Self {
        Self {
            body: body.into_data_stream(),
            received: 0,
            limit: u64::MAX,
            mark: None,
            buffers,
            permit: BufferPermit::default(),
            held: held as u64,
        }
    }

    /// Reads what `headers` say of the body. Returns its announced length. Errors: 400 for malformed
    /// numbers, 413 for a length over the limit.
    pub fn announced(&mut self, headers: &HeaderMap) -> Result<Option<u64>, Error> {
        let mark = headers.get(sandboxd::END_MARK_HEADER);
        self.mark = mark.map(|mark| EndMark::new(Bytes::copy_from_slice(mark.as_bytes())));
        let limit = number(headers, HeaderName::from_static(sandboxd::MAX_UPLOAD_HEADER))?;
        self.limit = limit.unwrap_or(u64::MAX);
        match number(headers, header::CONTENT_LENGTH)? {
            Some(length) if length > self.limit => Err(Error::TooLarge { limit: self.limit }),
            length => Ok(length),
        }
    }

    /// The next bytes, about [`BATCH`] of them; `None` once the whole body was received.
    ///
    /// Errors: 413 when it is too long, 503 when the buffers are full, 400 when it breaks off.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Bytes>>, Error> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH && batch.len() < BATCH_BLOCKS {
            let Some(blocks) = self.next_blocks().await? else {
                return Ok((!batch.is_empty()).then_some(batch));
            };
            for block in blocks.into_iter().filter(|block| !block.is_empty()) {
                bytes += block.len();
                batch.push(block);
            }
        }
        Ok(Some(batch))
    }

    /// The bytes that have come, at least one and about [`PIECE`] at most, in one piece: small
    /// blocks are put together. `None` and errors as for a batch.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let mut piece = BytesMut::new();
        loop {
            let blocks = if piece.is_empty() {
                self.next_blocks().await?
            } else {
                match self.blocks_at_hand().await {
                    Some(blocks) => blocks?,
                    None => return Ok(Some(piece.freeze())),
                }
            };
            match blocks {
                None => return Ok((!piece.is_empty()).then(|| piece.freeze())),
                Some([block, nothing]) | Some([nothing, block])
                    if piece.is_empty() && nothing.is_empty() && block.len() >= LARGE =>
                {
                    return Ok(Some(block));
                }
                Some(blocks) => blocks.iter().for_each(|block| piece.extend_from_slice(block)),
            }
            if piece.len() >= PIECE {
                return Ok(Some(piece.freeze()));
            }
        }
    }

    /// The blocks that have arrived. Polls the connection twice: it reads on when its task runs
    /// again.
    async fn blocks_at_hand(&mut self) -> Option<Result<Option<[Bytes; 2]>, Error>> {
        if let Some(blocks) = self.next_blocks().now_or_never() {
            return Some(blocks);
        }
        tokio::task::yield_now().await;
        self.next_blocks().now_or_never()
    }

    /// The next bytes as soon as they come, in two blocks that may be empty; `None` and errors as
    /// for a batch.
    async fn next_blocks(&mut self) -> Result<Option<[Bytes; 2]>, Error> {
        let Some(block) = self.body.next().await else {
            if self.mark.take().is_some_and(|mark| !mark.is_whole()) {
                return Err(Invalid::request("the upload broke off: its end is missing").into());
            }
            return Ok(None);
        };
        let block = block.map_err(|e| Invalid::request(format!("the upload broke off: {e}")))?;
        self.received += block.len() as u64;
        let mark = self.mark.as_ref().map_or(0, EndMark::len);
        if self.received > self.limit.saturating_add(mark as u64) {
            return Err(Error::TooLarge { limit: self.limit });
        }
        self.buffers
            .grow(&mut self.permit, self.received.min(self.held))?;
        Ok(Some(match &mut self.mark {
            Some(mark) => mark.pass(block),
            None => [block, Bytes::new()],
        }))
    }

    /// Refuses what is left of the body, see [`discard`].
    pub fn refuse(self, headers: &HeaderMap) {
        discard(headers, self.body);
    }
}

fn number(headers: &HeaderMap, name: HeaderName) -> Result<Option<u64>, Invalid> {
    let Some(value) = headers.get(&name) else {
        return Ok(None);
    };
    match value.to_str().map(str::parse) {
        Ok(Ok(number)) => Ok(Some(number)),
        _ => Err(Invalid::request(format!("{name} must be a number of bytes"))),
    }
}
