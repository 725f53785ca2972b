//! Bodies of any size on their way to `sandboxd`. They stream; nothing of them is held here.

use sandbox_protocol::sandboxd;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Headers, ReadableStream, Request};

use crate::config::Config;
use crate::error::ApiError;
use crate::new_id::new_uuid;
use crate::stream::{self, AtTheEnd};

/// The body of an upload, and what `sandboxd` is told of it.
pub struct Upload {
    /// The headers to hand on.
    pub headers: Headers,
    /// The body to hand on; `None`: the request has none.
    pub body: Option<JsValue>,
}

/// Takes the body of `request`. Errors: 413 when it says that it is longer than `MAX_UPLOAD_BYTES`; `sandboxd` sees to
/// those that do not say.
pub fn of(request: &Request, config: &Config) -> Result<Upload, ApiError> {
    let headers = Headers::new()?;
    let length = request.headers().get("content-length")?;
    if let Some(limit) = config.max_upload_bytes {
        let announced = length.as_ref().and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(ApiError::TooLarge { limit });
        }
        headers.set(sandboxd::MAX_UPLOAD_HEADER, &limit.to_string())?;
    }
    let body = match request.body() {
        None => None,
        Some(_) if length.as_deref() == Some("0") => None,
        Some(body) if length.is_some() => Some(body.into()),
        Some(body) => {
            let mark = new_uuid()?;
            headers.set(sandboxd::END_MARK_HEADER, &mark)?;
            Some(marked(body, mark)?.into())
        }
    };
    Ok(Upload { headers, body })
}

/// A body of unknown length, with a mark behind its end: without it, `sandboxd` could not tell an upload that broke off
/// from a whole one.
fn marked(body: ReadableStream, mark: String) -> Result<ReadableStream, ApiError> {
    let (readable, writable) = stream::pipe()?;
    spawn_local(async move {
        if stream::pump(&body, &writable, AtTheEnd::StayOpen).await.is_ok() {
            // Fails when the sandbox has answered already: then nobody waits for the mark.
            let _ = stream::finish(&writable, mark.as_bytes()).await;
        }
    });
    Ok(readable)
}
