//! `GET /v1/sandbox/{id}/stat/{path}`. It starts no sandbox: see `Core::existing_files`.

use sandbox_protocol::query::flag;
use sandbox_protocol::{FilePath, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::{object, session};
use crate::error::ApiError;
use crate::url;

/// 200 with the entry; 404 `file_not_found`.
pub async fn stat(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let follow = flag(url::query(&request.url()), "follow")?;
    let path = sandboxd::file_url(sandboxd::STAT, path);
    let path = format!("{path}?follow={follow}");
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}
