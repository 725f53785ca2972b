//! `POST /v1/sandbox/{id}/exec`

use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::session::SESSION_HEADER;
use sandbox_protocol::{ExecRequest, SandboxId, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{object, session};
use crate::body;
use crate::error::ApiError;

/// Checks the body before a sandbox is started for it, then forwards it: 200 and the command's
/// stream.
pub async fn exec(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let headers = body::json_headers()?;
    if let Some(session) = session::from_request(&request)? {
        headers.set(SESSION_HEADER, session.as_str())?;
    }
    let (copy, body) = body::read_json(&request, MAX_BODY).await?;
    ExecRequest::check(&copy)?;
    drop(copy);
    object::forward(env, id, sandboxd::EXEC, &request, &headers, Some(&body)).await
}
