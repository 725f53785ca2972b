//! `POST /v1/sandbox/{id}/{snapshot,restore,fork}`, `GET /v1/snapshot`, `GET|DELETE /v1/snapshot/{snapshot}`

use futures_util::StreamExt as _;
use futures_util::stream;
use sandbox_protocol::snapshot::{
    ForkItem, ForkRequest, ForkResult, ForkSource, ListQuery, MAX_BODY, RestoreRequest, Snapshot,
    SnapshotRequest,
};
use sandbox_protocol::{ErrorBody, ObjectCall, SandboxId, SnapshotId};
use serde_json::Value;
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};
use worker::Env;

use super::object;
use crate::clock::now_ms;
use crate::config::Config;
use crate::error::ApiError;
use crate::snapshot::{self, Store};
use crate::{body, heartbeat, new_id, response, stub, url};

/// The number of new sandboxes that are created at a time.
const PARALLEL: usize = 6;

/// 200 with the snapshot, once it is stored.
pub async fn create(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: &Request,
) -> Result<Response, ApiError> {
    let parse = |body: &[u8]| SnapshotRequest::parse(body, &config.file_roots);
    let (_, body) = body::read_checked(request, MAX_BODY, parse).await?;
    object::call_with(env, id, ObjectCall::Snapshot, &body).await
}

/// 200 with the snapshot, once the directory is as it was saved.
pub async fn restore(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: &Request,
    is_for_one_sandbox: bool,
) -> Result<Response, ApiError> {
    let parse = |body: &[u8]| RestoreRequest::parse(body, &config.file_roots);
    let (wanted, body) = body::read_checked(request, MAX_BODY, parse).await?;
    if is_for_one_sandbox {
        require_own(env, config, id, &wanted.snapshot).await?;
    }
    object::call_with(env, id, ObjectCall::Restore, &body).await
}

/// Error: 403 unless the snapshot is one of this sandbox, for a token that is for it alone.
pub async fn require_own(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    snapshot: &SnapshotId,
) -> Result<(), ApiError> {
    let store = Store::from_env(env, config)?;
    let manifest = snapshot::manifest(&store, snapshot, now_ms()).await?;
    match manifest.sandbox == id.as_str() {
        true => Ok(()),
        false => Err(ApiError::Forbidden(format!(
            "the token is for the sandbox {id} alone, and this snapshot is of another"
        ))),
    }
}

/// 200 with the ids of the new sandboxes, each of which starts with its first request. For each one
/// that could not be created, the error.
pub async fn fork(env: &Env, id: &SandboxId, request: &Request) -> Result<Response, ApiError> {
    let (wanted, _) = body::read_checked(request, MAX_BODY, ForkRequest::parse).await?;
    let (env, id) = (env.clone(), id.clone());
    heartbeat::json(async move {
        let answer = object::call(&env, &id, ObjectCall::Fork).await?;
        let source: ForkSource = serde_json::from_str(&text_of(answer).await?)?;
        let mut settings = source.settings.to_patch();
        settings.insert("snapshot".to_owned(), source.snapshot.to_string().into());
        let settings = Value::Object(settings).to_string();
        let sandboxes = stream::iter(0..wanted.count)
            .map(|_| create_fork(&env, &settings))
            .buffered(PARALLEL)
            .collect()
            .await;
        Ok(ForkResult {
            sandboxes,
            snapshot: source.snapshot,
        })
    })
    .await
}

async fn create_fork(env: &Env, settings: &str) -> ForkItem {
    let created = async {
        let id = new_id::new_id()?;
        let body = JsValue::from(settings);
        let answer = object::call_with(env, &id, ObjectCall::Configure, &body).await?;
        text_of(answer).await.map(|_| id)
    };
    match created.await {
        Ok(id) => ForkItem::Sandbox { id: id.to_string() },
        Err(e) => ForkItem::Error(e.body()),
    }
}

/// The body of an answer of an object. Error: that which it answered with.
async fn text_of(answer: Response) -> Result<String, ApiError> {
    let status = answer.status();
    let text = stub::text(answer.text()).await?;
    if answer.ok() {
        return Ok(text);
    }
    Err(match serde_json::from_str::<ErrorBody>(&text) {
        Ok(body) => ApiError::Answered(status, body),
        Err(_) => ApiError::Internal(format!("the object answered with {status}")),
    })
}

/// 200 with a page of the snapshots, the newest first.
pub async fn list(env: &Env, config: &Config, request: &Request) -> Result<Response, ApiError> {
    let query = ListQuery::parse(url::query(&request.url()))?;
    let store = Store::from_env(env, config)?;
    response::json(200, &snapshot::list(&store, &query, now_ms()).await?)
}

/// 200 with the snapshot; 404 `snapshot_not_found`.
pub async fn show(env: &Env, config: &Config, id: &SnapshotId) -> Result<Response, ApiError> {
    let store = Store::from_env(env, config)?;
    let manifest = snapshot::manifest(&store, id, now_ms()).await?;
    response::json(200, &Snapshot::from(manifest))
}

/// 204 once it is deleted; 404 `snapshot_not_found`.
pub async fn delete(env: &Env, config: &Config, id: &SnapshotId) -> Result<Response, ApiError> {
    let store = Store::from_env(env, config)?;
    snapshot::delete(&store, id).await?;
    response::empty(204)
}

/// Deletes the snapshots whose time is over, if there is a store. For the cron.
pub async fn delete_expired(env: &Env) {
    let deleted = async {
        let config = Config::from_env(env)?;
        let store = match Store::from_env(env, &config) {
            Err(ApiError::NotSupported(_)) => return Ok(0),
            store => store?,
        };
        snapshot::delete_expired(&store, now_ms()).await
    };
    let line = match deleted.await {
        Ok(0) => return,
        Ok(count) => serde_json::json!({ "message": "expired snapshots deleted", "count": count }),
        Err(e) => serde_json::json!({ "message": "snapshots not checked", "detail": e.body().error }),
    };
    crate::log::info(&line);
}
