//! Forwards a request to the HTTP server on a port of a sandbox.

use percent_encoding::{CONTROLS, utf8_percent_encode};
use sandbox_protocol::preview::VALIDITY_HEADER;
use sandbox_protocol::{Invalid, SandboxId, ServerPort, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::upload::Upload;
use super::{object, pty};
use crate::error::ApiError;
use crate::{preview, response, url};

/// Headers that only the Worker or the runtime sets, besides those of one connection.
const NOT_FORWARDED: [&str; 16] = [
    "host",
    "upgrade",
    // Of the new body, as the runtime sends it.
    "content-length",
    // The runtime has sent its 100.
    "expect",
    // The runtime makes its own WebSocket on each part of the way.
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-real-ip",
    sandboxd::SECRET_HEADER,
    sandboxd::END_MARK_HEADER,
    sandboxd::MAX_UPLOAD_HEADER,
    VALIDITY_HEADER,
];

/// The methods that the runtime can send.
const METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS";

/// Request header of Cloudflare: the address of the client. The edge replaces one that a client
/// sends.
const CLIENT_ADDRESS_HEADER: &str = "cf-connecting-ip";

/// A request for the server on a port, as the client sees it.
#[derive(Debug)]
pub struct ServerRequest<'u> {
    /// The port.
    pub port: ServerPort,
    /// The path on the Sandbox object.
    pub path: String,
    /// The URL of the request.
    pub url: &'u str,
    /// The path of the URL at which the client sees the server's `/`, without that slash.
    pub prefix: &'u str,
    /// Path and query of the server's request: the rest of the URL.
    pub target: &'u str,
}

impl ServerRequest<'_> {
    /// The headers of `request`, for the server: without those of the connection, and with the
    /// client's side of it.
    pub fn headers(&self, request: &Request) -> Result<Headers, ApiError> {
        let from = request.headers();
        let headers = Headers::new_with_headers(&from)?;
        let listed = from.get("connection")?.unwrap_or_default();
        let listed = listed.split(',').map(str::trim);
        for name in listed
            .filter(|name| is_token(name))
            .chain(sandboxd::CONNECTION_HEADERS)
            .chain(NOT_FORWARDED)
        {
            headers.delete(name)?;
        }
        if let Some(address) = from.get(CLIENT_ADDRESS_HEADER)? {
            headers.set("x-forwarded-for", &address)?;
        }
        let host = url::authority(self.url);
        if !is_host(host) {
            return Err(Invalid::request("the request must have one header Host, with a host").into());
        }
        headers.set("x-forwarded-host", host)?;
        headers.set("x-forwarded-proto", url::scheme(self.url))?;
        if !self.prefix.is_empty() {
            headers.set("x-forwarded-prefix", self.prefix)?;
        }
        // A header is ASCII. The runtime writes other characters of a URL as they are.
        let target = utf8_percent_encode(self.target, CONTROLS).to_string();
        headers.set(sandboxd::TARGET_HEADER, &target)?;
        Ok(headers)
    }
}

/// Forwards `request` with these headers. Returns the response of the server, or 101 and its
/// WebSocket. Both bodies are the runtime's own streams.
pub async fn forward(
    env: &Env,
    id: &SandboxId,
    to_server: &ServerRequest<'_>,
    headers: Headers,
    request: Request,
) -> Result<Response, ApiError> {
    if ["TRACE", "TRACK", "CONNECT"].contains(&request.method().as_str()) {
        return Err(ApiError::MethodNotAllowed(METHODS.to_owned()));
    }
    if pty::is_upgrade(&request)? {
        headers.set("upgrade", "websocket")?;
        return object::forward(env, id, &to_server.path, &request, &headers, None).await;
    }
    let upload = Upload::for_server(&request, headers)?;
    if !upload.is_empty() && ["GET", "HEAD"].contains(&request.method().as_str()) {
        return Err(Invalid::request("a request with the method GET or HEAD cannot have a body").into());
    }
    let response = upload
        .forward_to_server(env, id, &to_server.path, &request)
        .await?;
    with_location(to_server, response)
}

/// The response with the header `Location` as the client is to see it.
fn with_location(to_server: &ServerRequest<'_>, response: Response) -> Result<Response, ApiError> {
    let Some(from) = response.headers().get("location")? else {
        return Ok(response);
    };
    let prefix = to_server.prefix;
    let scheme = url::scheme(to_server.url);
    let base = format!("{scheme}://{}{prefix}", url::authority(to_server.url));
    let Some(location) = preview::location(&from, to_server.port, &base, prefix) else {
        return Ok(response);
    };
    // The headers of a response that was fetched cannot be changed.
    let headers = Headers::new_with_headers(&response.headers())?;
    headers.set("location", &location)?;
    Ok(response::streamed(
        response.status(),
        &headers,
        response.body().as_ref(),
    )?)
}

/// Whether a text is a host, with or without a port. The runtime joins several headers `Host`.
fn is_host(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
}

/// Whether a text can be the name of a header.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
