//! Small bodies: read to check them before a sandbox is woken.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use js_sys::{Reflect, Uint8Array};
use sandbox_protocol::Invalid;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStream, ReadableStreamDefaultReader, Request};
use worker::Delay;

use crate::error::ApiError;

/// How much of a refused request's body is read, in bytes.
const REST: u32 = 1 << 20;
/// For how long.
const PATIENCE: Duration = Duration::from_secs(1);

/// The headers of a JSON body.
pub fn json_headers() -> Result<Headers, ApiError> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    Ok(headers)
}

/// Reads a body of at most `limit` bytes. Errors: 413 when it is longer, 400 when it breaks off.
pub async fn read(request: &Request, limit: usize) -> Result<Vec<u8>, ApiError> {
    let length = request.headers().get("content-length")?;
    // Most bodies say how long they are: one step then, and not one for each piece.
    if length.is_some_and(|length| length.parse::<usize>().is_ok_and(|length| length <= limit)) {
        let bytes = JsFuture::from(request.array_buffer()?).await.map_err(broken)?;
        return Ok(Uint8Array::new(&bytes).to_vec());
    }
    read_stream(request.body(), limit).await
}

/// The client broke off: the answer will hardly reach it, but the log should not call this a fault of ours.
fn broken(_: JsValue) -> ApiError {
    Invalid::request("the body broke off").into()
}

/// Reads the body of a request or of a response, as [`read`] does.
pub async fn read_stream(body: Option<ReadableStream>, limit: usize) -> Result<Vec<u8>, ApiError> {
    let Some(stream) = body else {
        return Ok(Vec::new());
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    while let Some(bytes) = next(&reader).await.map_err(broken)? {
        if body.len() + bytes.length() as usize > limit {
            // Whoever answers the refusal discards the rest.
            reader.release_lock();
            return Err(ApiError::TooLarge { limit: limit as u64 });
        }
        body.extend_from_slice(&bytes.to_vec());
    }
    Ok(body)
}

/// Reads on in the body of a request that is refused, at most [`REST`] bytes and for [`PATIENCE`]: the runtime closes the
/// connection of a client that still sends, and some clients then see that and not the answer.
pub async fn discard(request: &Request) {
    let Some(stream) = request.body().filter(|stream| !stream.locked()) else {
        return;
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let reading = async {
        let mut left = REST;
        while let Ok(Some(bytes)) = next(&reader).await {
            left = left.saturating_sub(bytes.length());
            if left == 0 {
                break;
            }
        }
    };
    select(pin!(reading), pin!(Delay::from(PATIENCE))).await;
}

/// The next bytes; `None` at the end.
async fn next(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let chunk = JsFuture::from(reader.read()).await?;
    if Reflect::get(&chunk, &"done".into())?.is_truthy() {
        return Ok(None);
    }
    Ok(Some(Reflect::get(&chunk, &"value".into())?.unchecked_into()))
}
