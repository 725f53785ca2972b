//! `GET|HEAD|PUT /v1/sandbox/{id}/file/{path}`

use sandbox_protocol::{SandboxId, WorkspacePath, sandboxd};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::{object, session, upload};
use crate::config::Config;
use crate::error::ApiError;

/// What of a read's headers `sandboxd` needs to know.
const READ_HEADERS: [&str; 4] = ["range", "if-range", "if-none-match", "if-modified-since"];

/// 200 or 206 with the file's bytes, 304, 404 `workspace_read_not_found`, 416.
pub async fn read(
    env: &Env,
    id: &SandboxId,
    path: &WorkspacePath,
    request: Request,
) -> Result<Response, ApiError> {
    // Files have their path from the workspace, whatever the session's directory.
    session::of_request(&request)?;
    let headers = Headers::new()?;
    for name in READ_HEADERS {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    object::forward(env, id, &sandboxd::file_url(path), &request, &headers, None).await
}

/// 200 `{"ok":true}` once the whole body is the file. The body streams; nothing of it is held here.
pub async fn write(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    path: &WorkspacePath,
    request: Request,
) -> Result<Response, ApiError> {
    // Files have their path from the workspace, whatever the session's directory.
    session::of_request(&request)?;
    let upload = upload::of(&request, config)?;
    // No body at all is an empty file.
    let body = upload.body.unwrap_or_else(|| JsValue::from(""));
    object::forward(
        env,
        id,
        &sandboxd::file_url(path),
        &request,
        &upload.headers,
        Some(&body),
    )
    .await
}
