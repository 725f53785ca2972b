//! `GET|POST /v1/sandbox/{id}/persist`, `POST /v1/sandbox/{id}/hydrate`

use sandbox_protocol::archive::{archive_path, path_parameter};
use sandbox_protocol::{Invalid, PersistOptions, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::object;
use super::upload::Upload;
use crate::config::Config;
use crate::error::ApiError;
use crate::url;

/// 200 with the workspace, or a directory, as an archive. The query is checked before a sandbox is started.
pub async fn persist(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    let options = PersistOptions::from_query(url::query(&request.url()), &config.file_roots)?;
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
    let upload = Upload::from_request(&request, config)?;
    if upload.is_empty() {
        return Err(Invalid::request("Empty tar payload").into());
    }
    let path = match archive_path(url::query(&request.url()), &config.file_roots)? {
        Some(path) => format!("{}?{}", sandboxd::HYDRATE, path_parameter(&path)),
        None => sandboxd::HYDRATE.to_owned(),
    };
    upload.forward(env, id, &path, &request).await
}
