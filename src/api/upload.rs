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
    pub headers: Headers,
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
        let upload = Self::with_headers(request, Headers::new()?)?;
        if let Some(limit) = config.max_upload_bytes {
            if upload.length.is_some_and(|length| length > limit) {
                return Err(ApiError::TooLarge { limit });
            }
            upload
                .headers
                .set(sandboxd::MAX_UPLOAD_HEADER, &limit.to_string())?;
        }
        upload.with_mark()
    }

    /// Takes the body of `request` for a server of the sandbox, of any size, with these headers.
    pub fn for_server(request: &Request, headers: Headers) -> Result<Self, ApiError> {
        Self::with_headers(request, headers)?.with_mark()
    }

    fn with_mark(mut self) -> Result<Self, ApiError> {
        if self.body.is_some() && self.length.is_none() {
            self.mark = new_uuid()?;
            self.headers.set(sandboxd::END_MARK_HEADER, &self.mark)?;
        }
        Ok(self)
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

    /// Sets a header to forward.
    pub fn set_header(&self, name: &str, value: &str) -> Result<(), ApiError> {
        Ok(self.headers.set(name, value)?)
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
        self.exchange(env, id, path, request, |_| true).await
    }

    /// Forwards `request` with this body to a server of the sandbox. Its response goes out while the
    /// client is still sending, unless the server refuses the request.
    pub async fn forward_to_server(
        self,
        env: &Env,
        id: &SandboxId,
        path: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        self.exchange(env, id, path, request, |status| status >= 400)
            .await
    }

    /// Forwards `request`. Discards what the client still sends if `is_last` says of the status
    /// that nothing reads it.
    async fn exchange(
        self,
        env: &Env,
        id: &SandboxId,
        path: &str,
        request: &Request,
        is_last: impl FnOnce(u16) -> bool,
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
        if response
            .as_ref()
            .map_or(true, |response| is_last(response.status()))
        {
            discard_after(JsFuture::from(forwarded).map(drop), &source).await;
        }
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
