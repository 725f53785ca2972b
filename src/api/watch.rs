//! `GET /v1/sandbox/{id}/watch/{path}`, `GET /v1/sandbox/{id}/changes/{path}`. They start no
//! sandbox: see `Core::existing_files`.

use sandbox_protocol::file::{WatchQuery, changes_since};
use sandbox_protocol::process::LAST_EVENT_ID_HEADER;
use sandbox_protocol::{FilePath, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::{object, session};
use crate::error::ApiError;
use crate::url;

/// 200 with the events from now on, or from the one that the client has got; 404
/// `file_not_found`.
pub async fn watch(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let last_event_id = request.headers().get(LAST_EVENT_ID_HEADER)?;
    let query = WatchQuery::parse(url::query(&request.url()), last_event_id.as_deref())?;
    let path = format!("{}?{query}", sandboxd::file_url(sandboxd::WATCH, path));
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// 200 with what has changed since a version.
pub async fn changes(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let mut path = sandboxd::file_url(sandboxd::CHANGES, path);
    if let Some(since) = changes_since(url::query(&request.url()))? {
        path = format!("{path}?since={since}");
    }
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}
