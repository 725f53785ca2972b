//! `POST /v1/sandbox/{id}/exec`

use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::session::SESSION_HEADER;
use sandbox_protocol::{ExecRequest, SandboxId, sandboxd};
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};
use worker::Env;

use super::{body, object, session};
use crate::error::ApiError;

/// Checks the body before a sandbox is woken for it, then hands it on: 200 and the command's stream.
pub async fn exec(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let headers = body::json_headers()?;
    if let Some(session) = session::of_request(&request)? {
        headers.set(SESSION_HEADER, session.as_str())?;
    }
    let exec = ExecRequest::parse(&body::read(&request, MAX_BODY).await?)?;
    let body = JsValue::from(exec.to_json());
    object::forward(env, id, sandboxd::EXEC, &request, &headers, Some(&body)).await
}
