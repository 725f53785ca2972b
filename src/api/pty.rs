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
    let upgrade = request.headers().get("upgrade")?;
    if !upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return Err(Invalid::request("WebSocket upgrade required").into());
    }
    let session = request.headers().get(SESSION_HEADER)?;
    let pty = PtyRequest::parse(url::query(&request.url()), session.as_deref())?;
    let headers = Headers::new()?;
    headers.set("upgrade", "websocket")?;
    // Built from the parsed request: nothing else of the query, such as the key, leaves the Worker.
    let path = format!("{}?{pty}", sandboxd::PTY);
    object::forward(env, id, &path, &request, &headers, None).await
}
