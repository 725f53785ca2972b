//! `POST /v1/sandbox`, `DELETE /v1/sandbox/{id}`, `GET /v1/sandbox/{id}/running`

use sandbox_protocol::answer::SandboxCreated;
use sandbox_protocol::{ObjectCall, SandboxId};
use web_sys::Response;
use worker::Env;

use super::object;
use crate::config::Config;
use crate::error::ApiError;
use crate::{new_id, pool, response};

/// 200 `{"id"}`. The id names a warm sandbox when the pool has one; else one that starts with the
/// first request that needs it. No object is called while the pool is off, and no failure of the
/// pool makes this fail.
pub async fn create(env: &Env, config: &Config) -> Result<Response, ApiError> {
    let warm = if config.pool.is_on() {
        pool::client::take(env).await
    } else {
        None
    };
    let id = match warm {
        Some(id) => id,
        None => new_id::new_id()?,
    };
    let id = id.as_str().to_owned();
    response::json(200, &SandboxCreated { id })
}

/// 204, whether or not there was a sandbox to destroy.
pub async fn destroy(env: &Env, id: &SandboxId) -> Result<Response, ApiError> {
    object::call(env, id, ObjectCall::Destroy).await
}

/// 200 `{"running": bool}`. Starts no sandbox.
pub async fn running(env: &Env, id: &SandboxId) -> Result<Response, ApiError> {
    object::call(env, id, ObjectCall::Running).await
}
