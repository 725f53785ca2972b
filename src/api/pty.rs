//! `GET /v1/sandbox/{id}/pty`

use sandbox_protocol::session::SESSION_HEADER;
use sandbox_protocol::{Invalid, PtyRequest, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::object;
use crate::error::ApiError;
use crate::url;

/// Checks the request before a sandbox is started for it, then forwards it: 101 and the terminal's
/// WebSocket, which the runtime relays between the client and `sandboxd` without this code.
pub async fn pty(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let headers = upgrade_headers(&request)?;
    let session = request.headers().get(SESSION_HEADER)?;
    let pty = PtyRequest::parse(url::query(&request.url()), session.as_deref())?;
    // Built from the parsed request: nothing else of the query, such as the key, leaves the Worker.
    let path = format!("{}?{pty}", sandboxd::PTY);
    object::forward(env, id, &path, &request, &headers, None).await
}

/// The headers that upgrade the forwarded request to a WebSocket, as `request` asks for. Error: 400,
/// it does not.
pub fn upgrade_headers(request: &Request) -> Result<Headers, ApiError> {
    if !is_upgrade(request)? {
        return Err(Invalid::request("WebSocket upgrade required").into());
    }
    let headers = Headers::new()?;
    headers.set("upgrade", "websocket")?;
    Ok(headers)
}

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(request: &Request) -> Result<bool, ApiError> {
    let upgrade = request.headers().get("upgrade")?;
    Ok(upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")))
}
