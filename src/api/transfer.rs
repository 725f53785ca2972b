//! `POST /v1/sandbox/{id}/move`, `POST /v1/sandbox/{id}/copy`

use sandbox_protocol::file::{CopyRequest, MAX_BODY, MoveRequest};
use sandbox_protocol::{SandboxId, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{object, session};
use crate::body;
use crate::config::Config;
use crate::error::ApiError;

/// 200 once the new path leads to what was at the old one; 404 `file_not_found`, 409 `file_exists`.
pub async fn rename(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let parse = |body: &[u8]| MoveRequest::parse(body, &config.file_roots);
    let (_, json) = body::read_checked(&request, MAX_BODY, parse).await?;
    object::forward_json(env, id, sandboxd::MOVE, &request, &json).await
}

/// 200 once the new path leads to a whole copy; 404 `file_not_found`, 409 `file_exists`.
pub async fn copy(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let parse = |body: &[u8]| CopyRequest::parse(body, &config.file_roots);
    let (_, json) = body::read_checked(&request, MAX_BODY, parse).await?;
    object::forward_json(env, id, sandboxd::COPY, &request, &json).await
}
