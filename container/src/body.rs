//! Bodies of requests: read into memory, received in batches, or refused.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::{Frame, SizeHint};
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{Invalid, sandboxd};

use crate::end_mark::EndMark;
use crate::quota::{BufferPermit, Buffers};
use crate::{Error, timeout};

/// The size of the first buffer for a body that is announced to be larger, in bytes.
const FIRST_READ: usize = 64 * 1024;

/// How long the rest of a refused body is read.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);

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
        linger(headers, blocks);
        return Err(too_large(limit));
    }
    // Counts received bytes, not announced ones: a client that announces much and sends little
    // takes nothing from others.
    let mut permit = BufferPermit::default();
    let mut bytes = Vec::new();
    while let Some(block) = blocks.next().await {
        let block = block.map_err(|e| Invalid::request(format!("the request broke off: {e}")))?;
        if bytes.len() + block.len() > limit {
            linger(headers, blocks);
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
            if let Err(full) = buffers.grow(&mut permit, size as u64) {
                linger(headers, blocks);
                return Err(full);
            }
            bytes.reserve_exact(size - bytes.len());
        }
        bytes.extend_from_slice(&block);
    }
    Ok((bytes, permit))
}

fn too_large(limit: usize) -> Error {
    Error::TooLarge { limit: limit as u64 }
}

/// Reads a refused body for a while and drops its bytes. A connection that is closed while the
/// client still sends is reset, and the reset overtakes the answer: the client would see a broken
/// connection instead of the error.
pub fn linger(headers: &HeaderMap, mut rest: BodyDataStream) {
    // A client that waits for `100 Continue` sends no body after an error.
    if !headers.contains_key(header::EXPECT) {
        tokio::spawn(tokio::time::timeout(LINGER_TIMEOUT, async move {
            while let Some(Ok(_)) = rest.next().await {}
        }));
    }
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

    /// Reads what `headers` say of the body. Errors: 400 for malformed numbers, 413 for a body
    /// whose announced length is over the limit.
    pub fn announced(&mut self, headers: &HeaderMap) -> Result<(), Error> {
        let mark = headers.get(sandboxd::END_MARK_HEADER);
        self.mark = mark.map(|mark| EndMark::new(Bytes::copy_from_slice(mark.as_bytes())));
        let limit = number(headers, HeaderName::from_static(sandboxd::MAX_UPLOAD_HEADER))?;
        self.limit = limit.unwrap_or(u64::MAX);
        match number(headers, header::CONTENT_LENGTH)? {
            Some(length) if length > self.limit => Err(Error::TooLarge { limit: self.limit }),
            _ => Ok(()),
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

    /// Refuses what is left of the body, see [`linger`].
    pub fn refuse(self, headers: &HeaderMap) {
        linger(headers, self.body);
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

/// Answers `request` by `call`. When its body stands still for longer than `limit` the answer is
/// 408, whatever `call` answers to a body that breaks off.
pub async fn timed<F: Future<Output = Response>>(
    request: Request,
    limit: Limit,
    call: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return call(request).await;
    }
    let is_late = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| {
        Body::new(TimedBody {
            body,
            limit: Duration::from_millis(limit.value),
            silence: None,
            is_late: Arc::clone(&is_late),
        })
    });
    let response = call(request).await;
    if is_late.load(Relaxed) {
        return Error::Late(limit).into_response();
    }
    response
}

/// A body that breaks off when a reader waits too long for its next bytes.
struct TimedBody {
    body: Body,
    limit: Duration,
    /// The timeout that runs while no bytes arrive.
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_late: Arc<AtomicBool>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame);
        }
        let limit = self.limit;
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(timeout::after_io(limit)));
        if silence.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.is_late.store(true, Relaxed);
        let late = io::Error::from(io::ErrorKind::TimedOut);
        Poll::Ready(Some(Err(axum::Error::new(late))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
