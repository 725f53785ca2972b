//! `POST /v1/sandbox/{id}/exec`

use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::{ExecRequest, Invalid, SandboxId, sandboxd};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStreamDefaultReader, Request, Response};
use worker::Env;

use super::object;
use crate::error::ApiError;

/// Checks the body before a sandbox is woken for it, then hands it on: 200 and the command's stream.
pub async fn exec(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let exec = ExecRequest::parse(&read_body(&request).await?)?;
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    let body = JsValue::from(exec.to_json());
    object::forward(env, id, sandboxd::EXEC, &request, &headers, Some(&body)).await
}

/// Reads a JSON body, [`MAX_BODY`] bytes at most.
async fn read_body(request: &Request) -> Result<Vec<u8>, ApiError> {
    let Some(stream) = request.body() else {
        return Ok(Vec::new());
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    loop {
        // The client broke off: the answer will hardly reach it, but the log should not call this a fault of ours.
        let broken = |_| ApiError::from(Invalid::request("the request's body broke off"));
        let chunk = JsFuture::from(reader.read()).await.map_err(broken)?;
        if js_sys::Reflect::get(&chunk, &"done".into())?.is_truthy() {
            return Ok(body);
        }
        let bytes: js_sys::Uint8Array = js_sys::Reflect::get(&chunk, &"value".into())?.unchecked_into();
        if body.len() + bytes.length() as usize > MAX_BODY {
            return Err(ApiError::TooLarge {
                limit: MAX_BODY as u64,
            });
        }
        body.extend_from_slice(&bytes.to_vec());
    }
}
