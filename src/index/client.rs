//! Calls of the Worker and of the Sandbox objects to the index.

use std::time::Duration;

use futures_util::future::join_all;
use sandbox_protocol::index::merge::{Merge, Missing};
use sandbox_protocol::index::{
    PermitAnswer, PermitRelease, PermitRequest, SandboxReport, ShardPage, ShardRow, shard, shard_name,
};
use sandbox_protocol::sandbox::{ListCursor, ListQuery};
use sandbox_protocol::{IndexCall, SandboxId};
use serde::Serialize;
use worker::Env;

use crate::config::{Config, INDEX_BINDING};
use crate::error::ApiError;
use crate::{log, stub};

/// The timeout of a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A page of the list: the rows, the cursor of the next page, and the shards that did not answer.
pub type Page = (Vec<ShardRow>, Option<ListCursor>, Vec<u32>);

/// Reports a sandbox to its shard.
pub async fn report(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    report: &SandboxReport,
) -> Result<(), ApiError> {
    let shard = shard(id, config.index_shards);
    send(env, shard, IndexCall::Report, report).await.map(drop)
}

/// The sandboxes that match a query.
pub async fn list(env: &Env, config: &Config, query: &ListQuery) -> Page {
    let shards = config.index_shards;
    let mut merge = Merge::new(query.limit, shards);
    let limit = merge.part();
    loop {
        let missing = merge.advance();
        if missing.is_empty() {
            return merge.finish();
        }
        let pages = missing.into_iter().map(|Missing { shard, cursor }| async move {
            let part = ListQuery {
                limit,
                cursor: cursor.or_else(|| query.cursor.clone()),
                ..query.clone()
            };
            (shard, page(env, shard, &part).await)
        });
        for (shard, page) in join_all(pages).await {
            match page {
                Ok(page) => merge.add(shard, page),
                Err(e) => {
                    log::warn(&serde_json::json!({
                        "message": "a shard of the index does not answer", "shard": shard, "detail": e.body().error,
                    }));
                    merge.fail(shard);
                }
            }
        }
    }
}

async fn page(env: &Env, shard: u32, query: &ListQuery) -> Result<ShardPage, ApiError> {
    Ok(serde_json::from_str(
        &send(env, shard, IndexCall::List, query).await?,
    )?)
}

/// Asks a shard for a permit to run.
pub async fn acquire(env: &Env, shard: u32, request: &PermitRequest) -> Result<bool, ApiError> {
    let answer: PermitAnswer = serde_json::from_str(&send(env, shard, IndexCall::Acquire, request).await?)?;
    Ok(answer.granted)
}

/// Gives a permit back.
pub async fn release(env: &Env, shard: u32, id: &SandboxId) -> Result<(), ApiError> {
    let release = PermitRelease { id: id.to_string() };
    send(env, shard, IndexCall::Release, &release).await.map(drop)
}

async fn send(env: &Env, shard: u32, call: IndexCall, body: &impl Serialize) -> Result<String, ApiError> {
    stub::post(
        env,
        INDEX_BINDING,
        &shard_name(shard),
        call.path(),
        CALL_TIMEOUT,
        body,
    )
    .await
}
