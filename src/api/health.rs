//! `GET /health`

use sandbox_protocol::answer::{Done, Unhealthy};
use web_sys::Response;
use worker::Env;

use crate::config::{Config, INDEX_BINDING, POOL_BINDING, SANDBOX_BINDING};
use crate::error::ApiError;
use crate::response;

/// 200 `{"ok":true}`, or 503 `not_configured` with the `missing` bindings or the variable that does
/// not parse.
pub fn health(env: &Env, config: Result<&Config, ApiError>) -> Result<Response, ApiError> {
    config?;
    let missing: Vec<&str> = [SANDBOX_BINDING, POOL_BINDING, INDEX_BINDING]
        .into_iter()
        .filter(|name| env.durable_object(name).is_err())
        .collect();
    if missing.is_empty() {
        return response::json(200, &Done::default());
    }
    let error = ApiError::NotConfigured(format!("bindings are missing: {}", missing.join(", ")));
    let unhealthy = Unhealthy {
        ok: false,
        missing,
        error: error.body(),
    };
    response::json(503, &unhealthy)
}
