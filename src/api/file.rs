//! `GET|HEAD|PUT /v1/sandbox/{id}/file/{path}`

use sandbox_protocol::{SandboxId, WorkspacePath, sandboxd};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Headers, ReadableStream, Request, Response};
use worker::Env;

use super::object;
use crate::config::Config;
use crate::error::ApiError;
use crate::new_id::new_uuid;
use crate::stream::{self, AtTheEnd};

/// What of a read's headers `sandboxd` needs to know.
const READ_HEADERS: [&str; 4] = ["range", "if-range", "if-none-match", "if-modified-since"];

/// 200 or 206 with the file's bytes, 304, 404 `workspace_read_not_found`, 416.
pub async fn read(
    env: &Env,
    id: &SandboxId,
    path: &WorkspacePath,
    request: Request,
) -> Result<Response, ApiError> {
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
    let headers = Headers::new()?;
    if let Some(limit) = config.max_upload_bytes {
        let announced = request
            .headers()
            .get("content-length")?
            .and_then(|length| length.parse().ok());
        if announced.is_some_and(|length: u64| length > limit) {
            return Err(ApiError::TooLarge { limit });
        }
        headers.set(sandboxd::MAX_UPLOAD_HEADER, &limit.to_string())?;
    }
    let body = match request.body() {
        // No body at all is an empty file.
        None => JsValue::from(""),
        Some(body) if request.headers().has("content-length")? => body.into(),
        Some(body) => {
            let mark = new_uuid()?;
            headers.set(sandboxd::END_MARK_HEADER, &mark)?;
            marked(body, mark)?.into()
        }
    };
    object::forward(
        env,
        id,
        &sandboxd::file_url(path),
        &request,
        &headers,
        Some(&body),
    )
    .await
}

/// A body of unknown length, with a mark behind its end: without it, `sandboxd` could not tell an upload that broke off
/// from a whole one.
fn marked(body: ReadableStream, mark: String) -> Result<ReadableStream, ApiError> {
    let (readable, writable) = stream::pipe()?;
    spawn_local(async move {
        if stream::pump(&body, &writable, AtTheEnd::StayOpen).await.is_ok() {
            // Fails when the sandbox has answered already: then nobody waits for the mark.
            let _ = stream::finish(&writable, mark.as_bytes()).await;
        }
    });
    Ok(readable)
}
