//! `POST /v1/sandbox`, `DELETE /v1/sandbox/{id}`, `GET /v1/sandbox/{id}/running`

use sandbox_protocol::{ObjectCall, SandboxId};
use serde_json::json;
use web_sys::Response;
use worker::Env;

use super::object;
use crate::error::ApiError;
use crate::new_id;
use crate::response;

/// 200 `{"id"}`. The id names a sandbox that starts with the first request that needs it.
pub fn create() -> Result<Response, ApiError> {
    response::json(200, &json!({ "id": new_id::new_id()?.as_str() }))
}

/// 204, whether or not there was anything to destroy.
pub async fn destroy(env: &Env, id: &SandboxId) -> Result<Response, ApiError> {
    object::call(env, id, ObjectCall::Destroy).await
}

/// 200 `{"running": bool}`. Starts nothing.
pub async fn running(env: &Env, id: &SandboxId) -> Result<Response, ApiError> {
    object::call(env, id, ObjectCall::Running).await
}
