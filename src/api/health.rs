//! `GET /health`

use serde_json::json;
use web_sys::Response;
use worker::Env;

use crate::config::{Config, POOL_BINDING, SANDBOX_BINDING};
use crate::error::ApiError;
use crate::response;

/// 200 `{"ok":true}`, or 503 `not_configured` with what is `missing` or which variable does not parse.
pub fn health(env: &Env, config: Result<Config, ApiError>) -> Result<Response, ApiError> {
    config?;
    let missing: Vec<&str> = [SANDBOX_BINDING, POOL_BINDING]
        .into_iter()
        .filter(|name| env.durable_object(name).is_err())
        .collect();
    if missing.is_empty() {
        return response::json(200, &json!({ "ok": true }));
    }
    let error = ApiError::NotConfigured(format!("bindings are missing: {}", missing.join(", ")));
    let body = error.body();
    response::json(
        503,
        &json!({ "ok": false, "missing": missing, "error": body.error, "code": body.code }),
    )
}
