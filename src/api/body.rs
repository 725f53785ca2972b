//! Small bodies: read to check them before a sandbox is woken.

use sandbox_protocol::Invalid;
use wasm_bindgen::JsCast;
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
    read_stream(request.body(), limit).await
}

/// Reads the body of a request or of a response, as [`read`] does.
pub async fn read_stream(body: Option<ReadableStream>, limit: usize) -> Result<Vec<u8>, ApiError> {
    let Some(stream) = body else {
        return Ok(Vec::new());
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    loop {
        // The client broke off: the answer will hardly reach it, but the log should not call this a fault of ours.
        let broken = |_| ApiError::from(Invalid::request("the body broke off"));
        let chunk = JsFuture::from(reader.read()).await.map_err(broken)?;
        if js_sys::Reflect::get(&chunk, &"done".into())?.is_truthy() {
            return Ok(body);
        }
        let bytes: js_sys::Uint8Array = js_sys::Reflect::get(&chunk, &"value".into())?.unchecked_into();
        if body.len() + bytes.length() as usize > limit {
            return Err(ApiError::TooLarge { limit: limit as u64 });
        }
        body.extend_from_slice(&bytes.to_vec());
    }
}
