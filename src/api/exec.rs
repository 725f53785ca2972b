//! `POST /v1/sandbox/{id}/exec`

use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::process::LAST_EVENT_ID_HEADER;
use sandbox_protocol::session::SESSION_HEADER;
use sandbox_protocol::{ExecRequest, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::{object, session};
use crate::body;
use crate::error::ApiError;

/// 200 and the command's stream, or its result for a client that accepts only JSON.
pub async fn exec(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let headers = body::json_headers()?;
    // The id of the last event is checked where it matters: for a request with an id.
    object::copy_headers(&request, &headers, &["accept", LAST_EVENT_ID_HEADER])?;
    forward(env, id, sandboxd::EXEC, request, &headers).await
}

/// Checks a body of exec before a sandbox is started for it, then forwards it to `path`.
pub async fn forward(
    env: &Env,
    id: &SandboxId,
    path: &str,
    request: Request,
    headers: &Headers,
) -> Result<Response, ApiError> {
    if let Some(session) = session::from_request(&request)? {
        headers.set(SESSION_HEADER, session.as_str())?;
    }
    let (_, body) = body::read_checked(&request, MAX_BODY, ExecRequest::check).await?;
    object::forward(env, id, path, &request, headers, Some(&body)).await
}
