//! Calls of the Worker and of the Sandbox objects to the pool.

use std::time::Duration;

use sandbox_protocol::SandboxId;
use sandbox_protocol::pool::{
    KeepAnswer, KeepQuestion, POOL_NAME, PoolCall, PoolStats, Report, SandboxEvent, Taken,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use wasm_bindgen_futures::spawn_local;
use worker::Env;

use crate::clock::now_ms;
use crate::config::{Config, POOL_BINDING};
use crate::error::ApiError;
use crate::log;
use crate::stub;

/// The timeout of the pool for a create: less than a sandbox takes to start without it.
const TAKE_TIMEOUT: Duration = Duration::from_secs(1);
/// The timeout of all other calls that the pool answers from its storage.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of stopping the warm sandboxes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// A running sandbox that no other client has; `None` when the pool has none, or does not answer at
/// once.
pub async fn take(env: &Env) -> Option<SandboxId> {
    match call::<Taken>(env, PoolCall::Take, TAKE_TIMEOUT, &json!({})).await {
        Ok(taken) => SandboxId::parse(&taken.id?).ok(),
        Err(e) => {
            warn(PoolCall::Take, &e);
            None
        }
    }
}

/// Reports an event of a sandbox to the pool, if it is on. Runs in the background: it never delays
/// the caller and never fails.
pub fn report(env: &Env, config: &Config, id: &SandboxId, event: SandboxEvent) {
    if !config.pool.is_on() {
        return;
    }
    let report = Report {
        id: id.to_string(),
        event,
        at_ms: now_ms(),
    };
    let env = env.clone();
    spawn_local(async move {
        if let Err(e) = send(&env, PoolCall::Report, CALL_TIMEOUT, &report).await {
            warn(PoolCall::Report, &e);
        }
    });
}

/// Whether an idle sandbox must stay awake, because it waits for its first use. `false` when the
/// pool is off or does not answer.
pub async fn keeps(env: &Env, config: &Config, id: &SandboxId) -> bool {
    if !config.pool.is_on() {
        return false;
    }
    let question = KeepQuestion { id: id.to_string() };
    match call::<KeepAnswer>(env, PoolCall::Keep, CALL_TIMEOUT, &question).await {
        Ok(kept) => kept.keep,
        Err(e) => {
            warn(PoolCall::Keep, &e);
            false
        }
    }
}

/// The statistics of the pool.
pub async fn stats(env: &Env) -> Result<PoolStats, ApiError> {
    call(env, PoolCall::Stats, CALL_TIMEOUT, &json!({})).await
}

/// Makes the pool fill up from now on.
pub async fn prime(env: &Env) -> Result<(), ApiError> {
    send(env, PoolCall::Prime, CALL_TIMEOUT, &json!({}))
        .await
        .map(drop)
}

/// Primes the pool if it is on. A failure is logged; the next call retries it.
pub async fn keep_primed(env: &Env) {
    let primed = match Config::from_env(env) {
        Ok(config) if !config.pool.is_on() => Ok(()),
        Ok(_) => prime(env).await,
        Err(e) => Err(e),
    };
    if let Err(e) = primed {
        warn(PoolCall::Prime, &e);
    }
}

/// Stops every warm sandbox.
pub async fn shutdown_prewarmed(env: &Env) -> Result<(), ApiError> {
    send(env, PoolCall::ShutdownPrewarmed, SHUTDOWN_TIMEOUT, &json!({}))
        .await
        .map(drop)
}

async fn call<T: DeserializeOwned>(
    env: &Env,
    call: PoolCall,
    timeout: Duration,
    body: &impl Serialize,
) -> Result<T, ApiError> {
    Ok(serde_json::from_str(&send(env, call, timeout, body).await?)?)
}

async fn send(
    env: &Env,
    call: PoolCall,
    timeout: Duration,
    body: &impl Serialize,
) -> Result<String, ApiError> {
    stub::post(env, POOL_BINDING, POOL_NAME, call.path(), timeout, body).await
}

/// Logs a failed call for the operator; the caller goes on.
fn warn(call: PoolCall, e: &ApiError) {
    let line = json!({ "message": "pool call failed", "call": call.path(), "detail": e.body().error });
    log::warn(&line);
}
