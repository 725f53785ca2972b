//! Bodies of requests: read into memory, or refused.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt as _;
use sandbox_protocol::Invalid;

use crate::Error;

/// How long a refused body is still read.
const LINGER: Duration = Duration::from_secs(5);

/// The whole `body`, of at most `limit` bytes. Errors: 413 when it is longer, 400 when it breaks off.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut blocks = body.into_data_stream();
    if announced > limit {
        linger(headers, blocks);
        return Err(too_large(limit));
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(block) = blocks.next().await {
        let block = block.map_err(|e| Invalid::request(format!("the request broke off: {e}")))?;
        if bytes.len() + block.len() > limit {
            linger(headers, blocks);
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&block);
    }
    Ok(bytes)
}

fn too_large(limit: usize) -> Error {
    Error::TooLarge { limit: limit as u64 }
}

/// Reads on for a while and drops what comes, for a body that is refused. A connection that is closed while the client
/// still sends is reset, and the reset overtakes the answer: the client would see a broken connection instead of the
/// refusal.
pub fn linger(headers: &HeaderMap, mut rest: BodyDataStream) {
    // A client that waits for `100 Continue` sends no body to a refusal.
    if !headers.contains_key(header::EXPECT) {
        tokio::spawn(tokio::time::timeout(LINGER, async move {
            while let Some(Ok(_)) = rest.next().await {}
        }));
    }
}
