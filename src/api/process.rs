//! `/v1/sandbox/{id}/process`, `/v1/sandbox/{id}/process/{pid}` and what is below it. Only `POST
//! …/process` starts a sandbox: see `Core::process`. Everything is checked before it is forwarded.
//! Queries are written from their parsed form: no other parameter, such as the key, leaves the
//! Worker.

use sandbox_protocol::process::{
    LAST_EVENT_ID_HEADER, ListQuery, LogQuery, MAX_BODY, STDIN_OFFSET_HEADER, SignalRequest, WaitRequest,
    grace_ms, since, stdin_offset,
};
use sandbox_protocol::query::flag;
use sandbox_protocol::{ProcessId, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::upload::Upload;
use super::{exec, object, pty};
use crate::body;
use crate::config::Config;
use crate::error::ApiError;
use crate::url;

/// 200 with the [`sandbox_protocol::Process`], once its program runs; 409 `process_exists`.
pub async fn start(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    exec::forward(env, id, sandboxd::PROCESS, request, &body::json_headers()?).await
}

/// 200 with a page of the processes, the newest first.
pub async fn list(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let query = ListQuery::parse(url::query(&request.url()))?;
    let path = format!("{}?{query}", sandboxd::PROCESS);
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// 200 `{"ended"}` once every process has ended.
pub async fn end_all(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    delete(env, id, sandboxd::PROCESS, request).await
}

/// 200 with the process.
pub async fn show(
    env: &Env,
    id: &SandboxId,
    process: &ProcessId,
    request: Request,
) -> Result<Response, ApiError> {
    let path = sandboxd::process_url(process, "");
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// 204 once its tree has ended.
pub async fn end(
    env: &Env,
    id: &SandboxId,
    process: &ProcessId,
    request: Request,
) -> Result<Response, ApiError> {
    delete(env, id, &sandboxd::process_url(process, ""), request).await
}

async fn delete(env: &Env, id: &SandboxId, path: &str, request: Request) -> Result<Response, ApiError> {
    let grace = grace_ms(url::query(&request.url()))?;
    let path = format!("{path}?grace_ms={grace}");
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// 200 with the events of its log, or with the bytes for a client that accepts `text/plain`.
pub async fn log(
    env: &Env,
    id: &SandboxId,
    process: &ProcessId,
    request: Request,
) -> Result<Response, ApiError> {
    let last_event_id = request.headers().get(LAST_EVENT_ID_HEADER)?;
    let query = LogQuery::parse(url::query(&request.url()), last_event_id.as_deref())?;
    let headers = Headers::new()?;
    object::copy_headers(&request, &headers, &["accept"])?;
    let path = format!("{}?{query}", sandboxd::process_url(process, "/log"));
    object::forward(env, id, &path, &request, &headers, None).await
}

/// 200 `{"offset"}` once the whole body is in the pipe; 409 `stdin_offset`, 409 `stdin_closed`. The
/// body is streamed, not buffered.
pub async fn write_stdin(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    process: &ProcessId,
    request: Request,
) -> Result<Response, ApiError> {
    let close = flag(url::query(&request.url()), "close")?;
    let upload = Upload::from_request(&request, config)?;
    if let Some(offset) = request.headers().get(STDIN_OFFSET_HEADER)? {
        let offset = stdin_offset(&offset)?;
        upload.set_header(STDIN_OFFSET_HEADER, &offset.to_string())?;
    }
    let path = format!("{}?close={close}", sandboxd::process_url(process, "/stdin"));
    upload.forward(env, id, &path, &request).await
}

/// 101 and the WebSocket, which the runtime relays between the client and `sandboxd` without this
/// code.
pub async fn attach(
    env: &Env,
    id: &SandboxId,
    process: &ProcessId,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = pty::upgrade_headers(&request)?;
    let last_event_id = request.headers().get(LAST_EVENT_ID_HEADER)?;
    let since = since(url::query(&request.url()), last_event_id.as_deref())?;
    let path = format!("{}?since={since}", sandboxd::process_url(process, "/attach"));
    object::forward(env, id, &path, &request, &headers, None).await
}

/// 204 once the signal was sent; 409 `process_ended`.
pub async fn signal(
    env: &Env,
    id: &SandboxId,
    process: &ProcessId,
    request: Request,
) -> Result<Response, ApiError> {
    let path = sandboxd::process_url(process, "/signal");
    object::forward_checked(env, id, &path, &request, &[], MAX_BODY, SignalRequest::parse).await
}

/// 200 with the [`sandbox_protocol::process::WaitResult`] once the wait is over.
pub async fn wait(
    env: &Env,
    id: &SandboxId,
    process: &ProcessId,
    request: Request,
) -> Result<Response, ApiError> {
    let path = sandboxd::process_url(process, "/wait");
    object::forward_checked(env, id, &path, &request, &[], MAX_BODY, WaitRequest::parse).await
}
