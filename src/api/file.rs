//! `GET|HEAD|PUT /v1/sandbox/{id}/file/{path}`

use sandbox_protocol::{SandboxId, WorkspacePath, WriteOptions, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::upload::Upload;
use super::{object, session};
use crate::config::Config;
use crate::error::ApiError;
use crate::url;

/// The headers of a read that `sandboxd` needs.
const READ_HEADERS: [&str; 4] = ["range", "if-range", "if-none-match", "if-modified-since"];

/// 200 or 206 with the file's bytes, 304, 404 `workspace_read_not_found`, 416.
pub async fn read(
    env: &Env,
    id: &SandboxId,
    path: &WorkspacePath,
    request: Request,
) -> Result<Response, ApiError> {
    // Paths of files are relative to the workspace, whatever the session's directory.
    session::from_request(&request)?;
    let headers = Headers::new()?;
    for name in READ_HEADERS {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    let mut at = sandboxd::file_url(path);
    if is_directory_name(url::path(&request.url())) {
        at.push('/');
    }
    object::forward(env, id, &at, &request, &headers, None).await
}

/// Whether a percent-encoded path ends in a slash: then it names a directory, and `sandboxd` checks
/// whether that exists.
fn is_directory_name(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("%2F") || path.ends_with("%2f")
}

/// 200 `{"ok":true}` once the whole body is the file. The body is streamed, not buffered.
pub async fn write(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    path: &WorkspacePath,
    request: Request,
) -> Result<Response, ApiError> {
    // Paths of files are relative to the workspace, whatever the session's directory.
    session::from_request(&request)?;
    let options = WriteOptions::from_query(url::query(&request.url()))?;
    // A request without a body writes an empty file.
    let upload = Upload::from_request(&request, config)?;
    let path = format!("{}{}", sandboxd::file_url(path), options.to_suffix());
    upload.forward(env, id, &path, &request).await
}
