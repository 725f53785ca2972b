//! `POST /v1/sandbox/{id}/edit`

use sandbox_protocol::file::{EditRequest, MAX_EDIT_BODY};
use sandbox_protocol::{SandboxId, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{object, session};
use crate::config::Config;
use crate::error::ApiError;

/// 200 with the new versions once all files are changed; 404 `file_not_found`, 409
/// `edit_mismatch`, 412 `precondition_failed`.
pub async fn edit(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let parse = |body: &[u8]| EditRequest::parse(body, &config.file_roots);
    object::forward_checked(env, id, sandboxd::EDIT, &request, &[], MAX_EDIT_BODY, parse).await
}
