//! How the Worker and the Sandbox objects reach the pool.

use std::time::Duration;

use sandbox_protocol::pool::{KeepQuestion, Kept, News, POOL_NAME, PoolCall, PoolStats, Report, Taken};
use sandbox_protocol::{ErrorBody, SandboxId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use worker::Env;

use crate::config::{Config, POOL_BINDING};
use crate::error::ApiError;
use crate::stub;

/// How long a create waits for the pool: less than a sandbox takes to start without it.
const TAKE_PATIENCE: Duration = Duration::from_secs(1);
/// How long anything else may take that the pool answers from its storage.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to stop the warm sandboxes.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox that runs and that nobody else has; `None` when the pool has none, or does not answer at once.
pub async fn take(env: &Env) -> Option<SandboxId> {
    match call::<Taken>(env, PoolCall::Take, TAKE_PATIENCE, &json!({})).await {
        Ok(taken) => SandboxId::parse(&taken.id?).ok(),
        Err(e) => {
            complain(PoolCall::Take, &e);
            None
        }
    }
}

/// Tells the pool, if it is on, what has happened to a sandbox. Goes on in the background: it never delays the caller
/// and never fails.
pub fn report(env: &Env, config: &Config, id: &SandboxId, news: News) {
    if !config.pool.is_on() {
        return;
    }
    let report = Report {
        id: id.to_string(),
        news,
        at_ms: super::now_ms(),
    };
    let env = env.clone();
    spawn_local(async move {
        if let Err(e) = send(&env, PoolCall::Report, PATIENCE, &report).await {
            complain(PoolCall::Report, &e);
        }
    });
}

/// Whether a sandbox that is idle must stay awake, because it waits for its first use. `false` when the pool is off or
/// does not answer.
pub async fn keeps(env: &Env, config: &Config, id: &SandboxId) -> bool {
    if !config.pool.is_on() {
        return false;
    }
    let question = KeepQuestion { id: id.to_string() };
    match call::<Kept>(env, PoolCall::Keep, PATIENCE, &question).await {
        Ok(kept) => kept.keep,
        Err(e) => {
            complain(PoolCall::Keep, &e);
            false
        }
    }
}

/// What the pool holds.
pub async fn stats(env: &Env) -> Result<PoolStats, ApiError> {
    call(env, PoolCall::Stats, PATIENCE, &json!({})).await
}

/// Makes the pool fill up, from now on.
pub async fn prime(env: &Env) -> Result<(), ApiError> {
    send(env, PoolCall::Prime, PATIENCE, &json!({})).await.map(drop)
}

/// Primes the pool if it is on. Whatever goes wrong, the next call may do better.
pub async fn keep_primed(env: &Env) {
    let primed = match Config::from_env(env) {
        Ok(config) if !config.pool.is_on() => Ok(()),
        Ok(_) => prime(env).await,
        Err(e) => Err(e),
    };
    if let Err(e) = primed {
        complain(PoolCall::Prime, &e);
    }
}

/// Stops every warm sandbox.
pub async fn shutdown_prewarmed(env: &Env) -> Result<(), ApiError> {
    send(env, PoolCall::ShutdownPrewarmed, SHUTDOWN_PATIENCE, &json!({}))
        .await
        .map(drop)
}

async fn call<T: DeserializeOwned>(
    env: &Env,
    call: PoolCall,
    patience: Duration,
    body: &impl Serialize,
) -> Result<T, ApiError> {
    Ok(serde_json::from_str(&send(env, call, patience, body).await?)?)
}

async fn send(
    env: &Env,
    call: PoolCall,
    patience: Duration,
    body: &impl Serialize,
) -> Result<String, ApiError> {
    let init = stub::impatient("POST", patience);
    init.set_body(&serde_json::to_string(body)?.into());
    let response = stub::fetch(env, POOL_BINDING, POOL_NAME, call.path(), &init).await?;
    let text = stub::text(response.text()).await?;
    if response.ok() {
        return Ok(text);
    }
    let why = serde_json::from_str::<ErrorBody>(&text).map_or(text, |body| body.error);
    Err(ApiError::Unavailable(format!(
        "the pool refused {}: {why}",
        call.path()
    )))
}

/// For an operator; whoever called goes on.
fn complain(call: PoolCall, e: &ApiError) {
    let line = json!({ "message": "pool call failed", "call": call.path(), "detail": e.body().error });
    web_sys::console::warn_1(&JsValue::from(line.to_string()));
}
