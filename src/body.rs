//! Small bodies, read to check them before a sandbox is started.

use js_sys::{Reflect, Uint8Array};
use sandbox_protocol::Invalid;
use sandbox_protocol::json::without_byte_order_mark;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStream, ReadableStreamDefaultReader, Request};

use crate::error::ApiError;

/// The headers of a JSON body.
pub fn json_headers() -> Result<Headers, ApiError> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    Ok(headers)
}

/// Reads a body of at most `limit` bytes. Errors: 413 when it is longer, 400 when it breaks off.
pub async fn read(request: &Request, limit: usize) -> Result<Vec<u8>, ApiError> {
    match read_announced(request, limit).await? {
        Some(bytes) => Ok(bytes.to_vec()),
        None => read_stream(request.body(), limit).await,
    }
}

/// Reads a JSON body of at most `limit` bytes and parses it. Returns what `parse` makes of it, and
/// the bytes to forward, unchanged but without a byte order mark. So a body exists at most twice, and
/// once when it is forwarded. Errors: as for [`read`], and those of `parse`.
pub async fn read_checked<T>(
    request: &Request,
    limit: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, Invalid>,
) -> Result<(T, JsValue), ApiError> {
    let (copy, json) = read_json(request, limit).await?;
    Ok((parse(&copy)?, json))
}

/// A JSON body: a copy to parse, and the bytes to forward.
async fn read_json(request: &Request, limit: usize) -> Result<(Vec<u8>, JsValue), ApiError> {
    let announced = read_announced(request, limit).await?;
    let copy = match &announced {
        Some(bytes) => bytes.to_vec(),
        None => read_stream(request.body(), limit).await?,
    };
    let json = without_byte_order_mark(&copy);
    let bytes = match announced {
        Some(bytes) => bytes.subarray((copy.len() - json.len()) as u32, bytes.length()),
        None => Uint8Array::from(json),
    };
    Ok((copy, bytes.into()))
}

/// Reads a body whose `Content-Length` is at most `limit` bytes, as most are. `None` for another
/// body, of which nothing is read. Errors: 400 when it breaks off.
async fn read_announced(request: &Request, limit: usize) -> Result<Option<Uint8Array>, ApiError> {
    let length = request.headers().get("content-length")?;
    if !length.is_some_and(|length| length.parse::<usize>().is_ok_and(|length| length <= limit)) {
        return Ok(None);
    }
    read_whole(request).await.map(Some)
}

/// Reads a body in one step, not chunk by chunk. For those whose length is known to be small.
/// Errors: 400 when it breaks off.
pub async fn read_whole(request: &Request) -> Result<Uint8Array, ApiError> {
    let bytes = JsFuture::from(request.array_buffer()?).await.map_err(broken)?;
    Ok(Uint8Array::new(&bytes))
}

/// The client disconnected: the response will hardly reach it, but the log should not call this a
/// fault of the Worker.
fn broken(_: JsValue) -> ApiError {
    Invalid::request("the body broke off").into()
}

/// Reads the body of a request or of a response, as [`read`] does.
pub async fn read_stream(body: Option<ReadableStream>, limit: usize) -> Result<Vec<u8>, ApiError> {
    let Some(stream) = body else {
        return Ok(Vec::new());
    };
    // Not `get_reader`, which is bound as if it never threw.
    let reader = ReadableStreamDefaultReader::new(&stream)?;
    let mut body = Vec::new();
    while let Some(bytes) = next(&reader).await.map_err(broken)? {
        if body.len() + bytes.length() as usize > limit {
            // The caller that sends the error response discards the rest.
            reader.release_lock();
            return Err(ApiError::TooLarge { limit: limit as u64 });
        }
        append(&mut body, &bytes);
    }
    Ok(body)
}

/// Grows `body` by at least a quarter, so that it is seldom moved, and never allocates much more
/// than it holds.
fn append(body: &mut Vec<u8>, bytes: &Uint8Array) {
    let (length, added) = (body.len(), bytes.length() as usize);
    if body.capacity() - length < added {
        body.reserve_exact(added.max(length / 4));
    }
    body.resize(length + added, 0);
    if let Some(end) = body.get_mut(length..) {
        bytes.copy_to(end);
    }
}

/// The next bytes of a body; `None` at its end.
pub async fn next(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let chunk = JsFuture::from(reader.read()).await?;
    if Reflect::get(&chunk, &"done".into())?.is_truthy() {
        return Ok(None);
    }
    Ok(Some(Reflect::get(&chunk, &"value".into())?.unchecked_into()))
}
