//! Requests with a body of any size, forwarded to the Sandbox object. All but small bodies are
//! streamed.

use futures_util::FutureExt as _;
use sandbox_protocol::{SandboxId, sandboxd};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{Headers, ReadableStream, Request, Response, WritableStream};
use worker::Env;

use super::object;
use crate::body;
use crate::config::Config;
use crate::discard::discard_after;
use crate::error::ApiError;
use crate::new_id::new_uuid;
use crate::stream::{self, BodyKind};

/// The maximum of bytes that are read before they are forwarded. For less, a stream takes longer
/// than the body.
const MAX_BUFFERED: u64 = 64 << 10;

/// The body of a request, and its headers.
pub struct Upload {
    /// The headers to forward.
    headers: Headers,
    /// The body to forward; `None`: the request has none.
    body: Option<ReadableStream>,
    /// The number of its bytes, if it was announced.
    length: Option<u64>,
    /// The bytes sent after its end: without a mark, `sandboxd` could not tell a truncated body of
    /// unknown length from a complete one.
    mark: String,
}

impl Upload {
    /// Takes the body of `request` for `sandboxd`. Errors: 413 when its `Content-Length` is above
    /// `MAX_UPLOAD_BYTES`; `sandboxd` enforces the limit on bodies without that header.
    pub fn from_request(request: &Request, config: &Config) -> Result<Self, ApiError> {
        let mut upload = Self::with_headers(request, Headers::new()?)?;
        if let Some(limit) = config.max_upload_bytes {
            if upload.length.is_some_and(|length| length > limit) {
                return Err(ApiError::TooLarge { limit });
            }
            upload
                .headers
                .set(sandboxd::MAX_UPLOAD_HEADER, &limit.to_string())?;
        }
        if upload.body.is_some() && upload.length.is_none() {
            upload.mark = new_uuid()?;
            upload.headers.set(sandboxd::END_MARK_HEADER, &upload.mark)?;
        }
        Ok(upload)
    }

    /// Takes the body of `request` unchanged.
    pub fn with_headers(request: &Request, headers: Headers) -> Result<Self, ApiError> {
        let length = request.headers().get("content-length")?;
        let length = length.and_then(|length| length.parse().ok());
        Ok(Self {
            headers,
            body: request.body().filter(|_| length != Some(0)),
            length,
            mark: String::new(),
        })
    }

    /// Whether the request has no body.
    pub fn is_empty(&self) -> bool {
        self.body.is_none()
    }

    /// Forwards `request` with this body, as [`object::forward`] does. A response may come while
    /// the client is still sending: then the rest of the body is [discarded](discard_after) first.
    pub async fn forward(
        self,
        env: &Env,
        id: &SandboxId,
        path: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let Some(source) = self.body else {
            return object::forward(env, id, path, request, &self.headers, None).await;
        };
        if self.length.is_some_and(|length| length <= MAX_BUFFERED) {
            let bytes = body::read_whole(request).await?;
            return object::forward(env, id, path, request, &self.headers, Some(&bytes)).await;
        }
        let (readable, sink) = stream::pipe(self.length)?;
        let forwarded = future_to_promise(forward_body(source.clone(), sink, self.mark));
        let response = object::forward(env, id, path, request, &self.headers, Some(&readable.into())).await;
        discard_after(JsFuture::from(forwarded).map(drop), &source).await;
        response
    }
}

async fn forward_body(
    source: ReadableStream,
    sink: WritableStream,
    mark: String,
) -> Result<JsValue, JsValue> {
    if stream::pipe_to(&source, &sink, BodyKind::Request).await.is_ok() {
        // Fails when the sandbox has answered already: then the mark is not needed.
        let _ = stream::finish(&sink, mark.as_bytes()).await;
    }
    Ok(JsValue::UNDEFINED)
}
