//! Calls from the Worker to a Sandbox object.

use sandbox_protocol::{Invalid, ObjectCall, SandboxId};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::Env;

use crate::body;
use crate::config::SANDBOX_BINDING;
use crate::error::ApiError;
use crate::stub;

/// Sends the object of `id` a call that it answers itself.
pub async fn call(env: &Env, id: &SandboxId, call: ObjectCall) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method("POST");
    fetch(env, id, call.path(), &init).await
}

/// As [`call`], with a query.
pub async fn call_query(
    env: &Env,
    id: &SandboxId,
    call: ObjectCall,
    query: &str,
) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method("POST");
    fetch(env, id, &format!("{}?{query}", call.path()), &init).await
}

/// As [`call`], with a checked JSON body.
pub async fn call_with(
    env: &Env,
    id: &SandboxId,
    call: ObjectCall,
    json: &JsValue,
) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method("POST");
    let headers = body::json_headers()?;
    init.set_headers(&headers);
    init.set_body(json);
    fetch(env, id, call.path(), &init).await
}

/// Forwards a request through the object of `id` to `sandboxd`, at `path`. The client's abort
/// signal is forwarded, too: when the client disconnects, the connection to `sandboxd` closes.
pub async fn forward(
    env: &Env,
    id: &SandboxId,
    path: &str,
    request: &Request,
    headers: &Headers,
    body: Option<&JsValue>,
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

/// Reads a JSON body of at most `limit` bytes, checks it by `parse` and forwards it as [`forward`] does,
/// with the request's headers of these names. Errors: those of [`body::read_checked`].
pub async fn forward_checked<T>(
    env: &Env,
    id: &SandboxId,
    path: &str,
    request: &Request,
    header_names: &[&str],
    limit: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, Invalid>,
) -> Result<Response, ApiError> {
    let headers = body::json_headers()?;
    copy_headers(request, &headers, header_names)?;
    let (_, json) = body::read_checked(request, limit, parse).await?;
    forward(env, id, path, request, &headers, Some(&json)).await
}

/// Forwards a checked JSON body through the object of `id` to `sandboxd`, as [`forward`] does.
pub async fn forward_json(
    env: &Env,
    id: &SandboxId,
    path: &str,
    request: &Request,
    json: &JsValue,
) -> Result<Response, ApiError> {
    let headers = body::json_headers()?;
    forward(env, id, path, request, &headers, Some(json)).await
}

/// Copies these headers of a request, as far as it has them.
pub fn copy_headers(from: &Request, to: &Headers, names: &[&str]) -> Result<(), ApiError> {
    for name in names {
        if let Some(value) = from.headers().get(name)? {
            to.set(name, &value)?;
        }
    }
    Ok(())
}

async fn fetch(env: &Env, id: &SandboxId, path: &str, init: &RequestInit) -> Result<Response, ApiError> {
    stub::fetch(env, SANDBOX_BINDING, id.as_str(), path, init).await
}
