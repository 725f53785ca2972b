//! `GET|PUT /v1/sandbox/{id}/directory/{path}`. `GET` starts no sandbox: see
//! `Core::existing_files`.

use sandbox_protocol::file::{DirectoryQuery, FileMode};
use sandbox_protocol::{FilePath, SandboxId, query, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::{object, session};
use crate::error::ApiError;
use crate::url;

/// 200 with a page of the entries, or with all of them for a client that accepts NDJSON.
pub async fn list(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let query = DirectoryQuery::parse(url::query(&request.url()))?;
    let headers = Headers::new()?;
    object::copy_headers(&request, &headers, &["accept"])?;
    let path = format!("{}?{query}", sandboxd::file_url(sandboxd::DIRECTORY, path));
    object::forward(env, id, &path, &request, &headers, None).await
}

/// 200 `{"ok":true,"created"}` once the directory exists; 409 `file_exists`.
pub async fn create(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let mode = query::value(url::query(&request.url()), "mode")?;
    let mode = mode.map(|mode| FileMode::parse(&mode)).transpose()?;
    let mut path = sandboxd::file_url(sandboxd::DIRECTORY, path);
    if let Some(mode) = mode {
        path = format!("{path}?mode={mode}");
    }
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}
