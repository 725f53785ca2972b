//! Calls from the Worker to a Sandbox object.

use sandbox_protocol::{ObjectCall, SandboxId};
use web_sys::{Headers, Request, RequestInit, Response};
use worker::Env;

use super::body;
use crate::config::SANDBOX_BINDING;
use crate::error::ApiError;
use crate::stub;

/// Asks the object of `id` for something that it answers itself.
pub async fn call(env: &Env, id: &SandboxId, call: ObjectCall) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method("POST");
    fetch(env, id, call.path(), &init).await
}

/// Hands a request to the object of `id`, for `sandboxd`, at `path`. The client's signal goes with it: when the client
/// leaves, the connection to `sandboxd` closes.
pub async fn forward(
    env: &Env,
    id: &SandboxId,
    path: &str,
    request: &Request,
    headers: &Headers,
    body: Option<&wasm_bindgen::JsValue>,
) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method(&request.method());
    init.set_headers(headers);
    init.set_signal(Some(&request.signal()));
    if let Some(body) = body {
        init.set_body(body);
    }
    fetch(env, id, path, &init).await
}

/// Hands a JSON body that was checked to the object of `id`, for `sandboxd`, as [`forward`] does.
pub async fn forward_json(
    env: &Env,
    id: &SandboxId,
    path: &str,
    request: &Request,
    json: &str,
) -> Result<Response, ApiError> {
    let headers = body::json_headers()?;
    forward(env, id, path, request, &headers, Some(&json.into())).await
}

async fn fetch(env: &Env, id: &SandboxId, path: &str, init: &RequestInit) -> Result<Response, ApiError> {
    stub::fetch(env, SANDBOX_BINDING, id.as_str(), path, init).await
}
