//! `POST /v1/sandbox/{id}/search`. It starts no sandbox: see `Core::existing_files`.

use sandbox_protocol::file::{MAX_SEARCH_BODY, SearchRequest};
use sandbox_protocol::{SandboxId, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{object, session};
use crate::body;
use crate::config::Config;
use crate::error::ApiError;

/// 200 with the matches, one a line for a client that accepts NDJSON.
pub async fn search(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let parse = |body: &[u8]| SearchRequest::parse(body, &config.file_roots);
    let (_, json) = body::read_checked(&request, MAX_SEARCH_BODY, parse).await?;
    let headers = body::json_headers()?;
    object::copy_headers(&request, &headers, &["accept"])?;
    object::forward(env, id, sandboxd::SEARCH, &request, &headers, Some(&json)).await
}
