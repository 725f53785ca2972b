//! `POST /v1/sandbox/{id}/session`, `DELETE /v1/sandbox/{id}/session/{sid}`, and the `Session-Id`
//! header

use sandbox_protocol::session::{MAX_BODY, SESSION_HEADER};
use sandbox_protocol::{CreateSession, SandboxId, SessionId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::object;
use crate::error::ApiError;

/// Checks the body before a sandbox is started for it, then forwards it: 200 `{"id"}`, 409
/// `session_exists`.
pub async fn create(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    object::forward_checked(
        env,
        id,
        sandboxd::SESSION,
        &request,
        &[],
        MAX_BODY,
        CreateSession::parse,
    )
    .await
}

/// 200 `{"success":true,"sessionId"}`, 404 `session_not_found`, 502 `session_error` for the default
/// session. Starts no sandbox.
pub async fn delete(
    env: &Env,
    id: &SandboxId,
    session: &SessionId,
    request: Request,
) -> Result<Response, ApiError> {
    if session.is_default() {
        return Err(ApiError::DefaultSession);
    }
    let path = sandboxd::session_url(session);
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// The session that a request names in its header; `None` without the header.
pub fn from_request(request: &Request) -> Result<Option<SessionId>, ApiError> {
    let id = request.headers().get(SESSION_HEADER)?;
    Ok(id.map(|id| SessionId::parse(&id)).transpose()?)
}
