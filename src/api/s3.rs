//! `/v1/sandbox/{id}/s3/…`: from the s3fs of a sandbox to its Sandbox object, which knows what it may ask for. Nothing is
//! changed on the way, and nothing held.

use sandbox_protocol::{SandboxId, s3};
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};
use worker::Env;

use super::object;
use crate::error::ApiError;
use crate::url;

/// The object's answer, in the form of S3.
pub async fn serve(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let url = request.url();
    let asked = url::path_and_query(&url);
    let asked = asked.strip_prefix(s3::path(id).as_str()).unwrap_or_default();
    let path = format!("{}{asked}", s3::OBJECT);
    let body = request.body().map(JsValue::from);
    object::forward(env, id, &path, &request, &request.headers(), body.as_ref()).await
}
