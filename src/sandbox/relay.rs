//! Hands the body of an answer on. A command's stream is ended with an `error` event when it breaks off.
//!
//! The runtime pumps the bytes from one stream to the other by itself; this code runs once, at the end. A client that
//! leaves closes the readable side, and with it the connection to `sandboxd`.

use sandbox_protocol::{ErrorBody, ErrorCode, event};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Response, WritableStream};

use crate::error::ApiError;
use crate::response;
use crate::stream::{self, AtTheEnd};

/// A body of as many bytes takes no longer as it is.
const SMALL: u64 = 16 * 1024;

/// The response to give in place of `upstream`, whose body is a command's stream. `broken` is called once if the
/// sandbox breaks that stream off.
pub fn relay(upstream: &Response, broken: impl FnOnce() + 'static) -> Result<Response, ApiError> {
    let Some(source) = upstream.body() else {
        return Err(ApiError::Internal("sandboxd sent a stream without a body".into()));
    };
    let (readable, writable) = stream::pipe()?;
    spawn_local(async move {
        // Telling the client fails when it was the client that left: then the sandbox is not to blame.
        if stream::pump(&source, &writable, AtTheEnd::Close).await.is_err()
            && break_off(&writable).await.is_ok()
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

/// The response to give in place of `upstream`, which a container has sent: workerd reads its body 4 KiB at a time as it is,
/// and 64 KiB at a time into a stream of its own.
pub fn widen(upstream: Response) -> Result<Response, ApiError> {
    let headers = upstream.headers();
    let length = headers.get("content-length")?;
    let length = length.and_then(|length| length.parse().ok());
    match upstream.body() {
        Some(body) if length.is_none_or(|length| length > SMALL) => {
            let body = stream::pass_on(body, length)?;
            Ok(response::streamed(upstream.status(), &headers, Some(&body))?)
        }
        _ => Ok(upstream),
    }
}

async fn break_off(sink: &WritableStream) -> Result<(), JsValue> {
    let error = ErrorBody::new(
        ErrorCode::ExecTransportError,
        "the connection to the sandbox was lost while the command ran; how it ended is not known",
    );
    stream::finish(sink, event::break_off(error).as_bytes()).await
}
