//! `GET|HEAD|PUT|DELETE|PATCH /v1/sandbox/{id}/file/{path}`. `DELETE` starts no sandbox: see
//! `Core::existing_files`.

use sandbox_protocol::file::{AttributesRequest, MAX_BODY};
use sandbox_protocol::query::flag;
use sandbox_protocol::{FilePath, SandboxId, WriteOptions, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::upload::Upload;
use super::{object, session};
use crate::config::Config;
use crate::error::ApiError;
use crate::url;

/// The headers of a read that `sandboxd` needs.
const READ_HEADERS: [&str; 4] = ["range", "if-range", "if-none-match", "if-modified-since"];

/// The conditions of a change.
const CONDITIONS: [&str; 2] = ["if-match", "if-none-match"];

/// 200 or 206 with the file's bytes, 304, 404 `workspace_read_not_found`, 416.
pub async fn read(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    // Paths of files are absolute, whatever the session's directory.
    session::from_request(&request)?;
    let headers = Headers::new()?;
    object::copy_headers(&request, &headers, &READ_HEADERS)?;
    let mut at = sandboxd::file_url(sandboxd::FILE, path);
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
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    // Paths of files are absolute, whatever the session's directory.
    session::from_request(&request)?;
    let options = WriteOptions::from_query(url::query(&request.url()))?;
    // A request without a body writes an empty file.
    let upload = Upload::from_request(&request, config)?;
    object::copy_headers(&request, &upload.headers, &CONDITIONS)?;
    let path = format!("{}?{options}", sandboxd::file_url(sandboxd::FILE, path));
    upload.forward(env, id, &path, &request).await
}

/// 200 `{"ok":true}` once nothing is left; 404 `file_not_found`, 400 `is_directory`, 412.
pub async fn delete(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let is_recursive = flag(url::query(&request.url()), "recursive")?;
    let headers = Headers::new()?;
    object::copy_headers(&request, &headers, &CONDITIONS)?;
    let path = sandboxd::file_url(sandboxd::FILE, path);
    let path = format!("{path}?recursive={is_recursive}");
    object::forward(env, id, &path, &request, &headers, None).await
}

/// 200 with the entry as it is then.
pub async fn set_attributes(
    env: &Env,
    id: &SandboxId,
    path: &FilePath,
    request: Request,
) -> Result<Response, ApiError> {
    session::from_request(&request)?;
    let path = sandboxd::file_url(sandboxd::FILE, path);
    object::forward_checked(env, id, &path, &request, &[], MAX_BODY, AttributesRequest::parse).await
}
