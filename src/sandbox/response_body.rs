//! Forwards the body of a response. A command's stream that breaks off is ended with an `error`
//! event.
//!
//! The runtime forwards the bytes from one stream to the other; this code runs once, at the end. A
//! client that disconnects closes the readable side, and with it the connection to `sandboxd`.

use sandbox_protocol::{ErrorBody, event};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Response, WritableStream};

use crate::error::ApiError;
use crate::response;
use crate::stream::{self, BodyKind};

/// Up to this size, in bytes, a body is as fast without a stream of the runtime.
const MAX_UNPIPED: u64 = 16 * 1024;

/// The response that replaces `upstream`, whose body is a command's stream. If the sandbox breaks that
/// stream off, it ends with the error of `reason`, and `broken` is called once.
pub fn event_stream(
    upstream: &Response,
    reason: impl FnOnce() -> ErrorBody + 'static,
    broken: impl FnOnce() + 'static,
) -> Result<Response, ApiError> {
    let Some(source) = upstream.body() else {
        return Err(ApiError::Internal("sandboxd sent a stream without a body".into()));
    };
    let (readable, writable) = stream::pipe(None)?;
    spawn_local(async move {
        // Writing the event fails when the client has disconnected: then the sandbox is not at
        // fault.
        if stream::pipe_to(&source, &writable, BodyKind::Response)
            .await
            .is_err()
            && break_off(&writable, reason()).await.is_ok()
        {
            broken();
        }
    });
    Ok(response::streamed(
        upstream.status(),
        &upstream.headers(),
        Some(&readable),
    )?)
}

/// The response that replaces `upstream`, which a container has sent: workerd reads the original
/// body 4 KiB at a time, and 64 KiB at a time into a stream of its own. A body with a
/// `Content-Encoding` stays as it is: the stream would decode it.
pub fn container_response(upstream: Response) -> Result<Response, ApiError> {
    let headers = upstream.headers();
    let length = headers.get("content-length")?;
    let length = length.and_then(|length| length.parse().ok());
    let is_encoded = headers.has("content-encoding")?;
    match upstream.body() {
        Some(body) if !is_encoded && length.is_none_or(|length| length > MAX_UNPIPED) => {
            let body = stream::pipe_through(body, length)?;
            Ok(response::streamed(upstream.status(), &headers, Some(&body))?)
        }
        _ => Ok(upstream),
    }
}

async fn break_off(sink: &WritableStream, error: ErrorBody) -> Result<(), JsValue> {
    stream::finish(sink, event::break_off(error).as_bytes()).await
}
