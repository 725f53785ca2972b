//! `GET /v1/pool/stats`, `POST /v1/pool/prime`, `POST /v1/pool/shutdown-prewarmed`

use sandbox_protocol::answer::Done;
use web_sys::Response;
use worker::Env;

use crate::config::Config;
use crate::error::ApiError;
use crate::{pool, response};

/// 200 with [`sandbox_protocol::pool::PoolStats`].
pub async fn stats(env: &Env) -> Result<Response, ApiError> {
    response::json(200, &pool::client::stats(env).await?)
}

/// 200 `{"ok":true}`; the pool fills up from now on. Does nothing while the pool is off.
pub async fn prime(env: &Env, config: &Config) -> Result<Response, ApiError> {
    if config.pool.is_on() {
        pool::client::prime(env).await?;
    }
    response::json(200, &Done::default())
}

/// 200 `{"ok":true}` once the warm sandboxes were stopped. A pool that is on fills up again at its
/// next refill.
pub async fn shutdown_prewarmed(env: &Env) -> Result<Response, ApiError> {
    pool::client::shutdown_prewarmed(env).await?;
    response::json(200, &Done::default())
}
