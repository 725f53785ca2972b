//! `POST /v1/sandbox/{id}/tunnel/{port}`, `DELETE /v1/sandbox/{id}/tunnel/{port}`

use sandbox_protocol::tunnel::MAX_BODY;
use sandbox_protocol::{Port, SandboxId, TunnelRequest, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::object;
use crate::error::ApiError;

/// 200 with the [`sandbox_protocol::Tunnel`], the open one if there is one; 502 `tunnel_error` with
/// the reason when it cannot be opened.
pub async fn open(env: &Env, id: &SandboxId, port: Port, request: Request) -> Result<Response, ApiError> {
    object::forward_checked(
        env,
        id,
        &sandboxd::tunnel_url(port),
        &request,
        &[],
        MAX_BODY,
        TunnelRequest::parse,
    )
    .await
}

/// 204 once there is no tunnel, whether or not there was one. Starts no sandbox.
pub async fn close(env: &Env, id: &SandboxId, port: Port, request: Request) -> Result<Response, ApiError> {
    let path = sandboxd::tunnel_url(port);
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}
