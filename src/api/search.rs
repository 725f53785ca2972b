//! `POST /v1/sandbox/{id}/search`. It starts no sandbox: see `Core::existing_files`.

use sandbox_protocol::file::{MAX_SEARCH_BODY, SearchRequest};
use sandbox_protocol::{SandboxId, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{object, session};
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
    let names = ["accept"];
    object::forward_checked(
        env,
        id,
        sandboxd::SEARCH,
        &request,
        &names,
        MAX_SEARCH_BODY,
        parse,
    )
    .await
}
