//! `POST /v1/sandbox/{id}/move`, `POST /v1/sandbox/{id}/copy`

use sandbox_protocol::file::{CopyRequest, MAX_BODY, MoveRequest};
use sandbox_protocol::{SandboxId, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{object, session};
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
    object::forward_checked(env, id, sandboxd::MOVE, &request, &[], MAX_BODY, parse).await
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
    object::forward_checked(env, id, sandboxd::COPY, &request, &[], MAX_BODY, parse).await
}
