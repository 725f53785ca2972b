//! Discards the rest of a body that is refused.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt as _;
use tokio::time::timeout;

/// How long the rest of a refused body is read.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a refused body for a while and drops its bytes. A connection that is closed while the
/// client still sends is reset, and the reset overtakes the answer: the client would see a broken
/// connection instead of the error.
pub fn discard(headers: &HeaderMap, mut rest: BodyDataStream) {
    // A client that waits for `100 Continue` sends no body after an error.
    if !headers.contains_key(header::EXPECT) {
        tokio::spawn(timeout(DISCARD_TIMEOUT, async move {
            while let Some(Ok(_)) = rest.next().await {}
        }));
    }
}
