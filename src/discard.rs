//! Discards the rest of a body before a response goes out that does not need it. The runtime closes
//! the connection of a client that is still sending, and some clients then see that and not the
//! response.

use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Request};
use worker::Delay;

use crate::body::next;

/// The maximum of bytes read from the body of a rejected request. Some clients send the whole body
/// before they read the response.
const MAX_DISCARDED: u32 = 16 << 20;

/// The maximum time for reading them. A client that sends nothing more waits this long for its
/// response.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the rest of the body of a rejected request, see [`discard_after`].
pub async fn discard(request: &Request) {
    if let Some(stream) = request.body() {
        discard_after(ready(()), &stream).await;
    }
}

/// Waits for `released`, when nothing else reads from `stream` any more, then reads the rest of it.
/// Takes at most [`DISCARD_TIMEOUT`] for both, and reads at most [`MAX_DISCARDED`] bytes.
pub async fn discard_after(released: impl Future<Output = ()>, stream: &ReadableStream) {
    let reading = async {
        released.await;
        // Another reader may have the lock. The lock is kept, so a second call reads nothing.
        let Ok(reader) = ReadableStreamDefaultReader::new(stream) else {
            return;
        };
        let mut left = MAX_DISCARDED;
        while let Ok(Some(bytes)) = next(&reader).await {
            left = left.saturating_sub(bytes.length());
            if left == 0 {
                break;
            }
        }
    };
    select(pin!(reading), pin!(Delay::from(DISCARD_TIMEOUT))).await;
}
