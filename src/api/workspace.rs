//! `GET|POST /v1/sandbox/{id}/persist`, `POST /v1/sandbox/{id}/hydrate`

use sandbox_protocol::{Invalid, PersistOptions, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::{object, upload};
use crate::config::Config;
use crate::error::ApiError;
use crate::url;

/// 200 with the workspace as an archive. What the query asks for is checked before a sandbox is woken.
pub async fn persist(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let options = PersistOptions::from_query(url::query(&request.url()))?;
    let path = sandboxd::persist_url(&options);
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// 200 `{"ok":true}` once the archive in the body is unpacked over the workspace.
pub async fn hydrate(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    let upload = upload::of(&request, config)?;
    let body = upload.body.ok_or_else(|| Invalid::request("Empty tar payload"))?;
    object::forward(env, id, sandboxd::HYDRATE, &request, &upload.headers, Some(&body)).await
}
