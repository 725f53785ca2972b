//! `GET|POST /v1/sandbox`, `GET|PATCH|DELETE /v1/sandbox/{id}`, `GET /v1/sandbox/{id}/running`,
//! `POST /v1/sandbox/{id}/{start,stop}`

use sandbox_protocol::answer::SandboxCreated;
use sandbox_protocol::sandbox::{CreateRequest, ListCursor, ListQuery, MAX_BODY, SettingsPatch};
use sandbox_protocol::{Invalid, ObjectCall, SandboxId, query};
use serde::Serialize;
use serde_json::value::RawValue;
use web_sys::{Request, Response};
use worker::Env;

use super::{object, snapshot};
use crate::config::Config;
use crate::error::ApiError;
use crate::sandbox::named_id;
use crate::snapshot::Store;
use crate::{body, index, new_id, pool, response, url};

/// 200 `{"id"}`. Without settings, the id names a warm sandbox when the pool has one, else one that
/// starts with the first request that needs it; no object is called while the pool is off, and no
/// failure of the pool makes this fail. With settings, the Sandbox object stores them.
pub async fn create(env: &Env, config: &Config, request: &Request) -> Result<Response, ApiError> {
    let wanted = match request.body() {
        None => None,
        Some(_) => {
            let (wanted, body) = body::read_checked(request, MAX_BODY, CreateRequest::parse).await?;
            wanted.map(|wanted| (wanted, body))
        }
    };
    if wanted
        .as_ref()
        .is_some_and(|(wanted, _)| wanted.settings.needs_store())
    {
        // Before a warm sandbox is taken.
        Store::from_env(env, config)?;
    }
    let id = match &wanted {
        None => new_or_warm(env, config).await?,
        Some((wanted, _)) => wanted_id(env, config, wanted).await?,
    };
    if let Some((_, settings)) = wanted {
        let configured = object::call_with(env, &id, ObjectCall::Configure, &settings).await?;
        if !configured.ok() {
            return Ok(configured);
        }
    }
    let id = id.as_str().to_owned();
    response::json(200, &SandboxCreated { id })
}

async fn wanted_id(env: &Env, config: &Config, wanted: &CreateRequest) -> Result<SandboxId, ApiError> {
    let Some(name) = wanted.settings.name() else {
        return match &wanted.id {
            Some(id) => Ok(id.clone()),
            // A warm sandbox has started already.
            None if wanted.settings.needs_start() => new_id::new_id(),
            None => new_or_warm(env, config).await,
        };
    };
    let id = named_id(name).await?;
    match &wanted.id {
        Some(other) if *other != id => Err(Invalid::request(format!("the id of this name is {id}")).into()),
        _ => Ok(id),
    }
}

async fn new_or_warm(env: &Env, config: &Config) -> Result<SandboxId, ApiError> {
    let warm = if config.pool.is_on() {
        pool::client::take(env).await
    } else {
        None
    };
    warm.map_or_else(new_id::new_id, Ok)
}

/// A page of the list, whose rows are JSON already.
#[derive(Serialize)]
struct Page<'a> {
    sandboxes: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<u32>,
}

/// 200 with a page of the sandboxes, newest first.
pub async fn list(env: &Env, config: &Config, request: &Request) -> Result<Response, ApiError> {
    let query = ListQuery::parse(url::query(&request.url()))?;
    let (rows, cursor, incomplete) = index::client::list(env, config, &query).await;
    let page = Page {
        sandboxes: rows.iter().map(|row| &*row.info).collect(),
        cursor: cursor.as_ref().map(ListCursor::to_text),
        incomplete,
    };
    response::json(200, &page)
}

/// 200 with the sandbox; 404 `sandbox_not_found`. Starts no sandbox.
pub async fn show(env: &Env, id: &SandboxId) -> Result<Response, ApiError> {
    object::call(env, id, ObjectCall::Info).await
}

/// 200 with the sandbox, once its settings are changed. Starts no sandbox.
pub async fn update(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: &Request,
    is_for_one_sandbox: bool,
) -> Result<Response, ApiError> {
    let (patch, body) = body::read_checked(request, MAX_BODY, SettingsPatch::parse).await?;
    if is_for_one_sandbox && let Some(snapshot) = patch.snapshot() {
        snapshot::require_own(env, config, id, &snapshot).await?;
    }
    object::call_with(env, id, ObjectCall::Configure, &body).await
}

/// 204, once the sandbox does not run.
pub async fn stop(env: &Env, id: &SandboxId) -> Result<Response, ApiError> {
    object::call(env, id, ObjectCall::Stop).await
}

/// 200 with the sandbox, once it runs. With `?without=restore`, it begins without its last snapshot.
pub async fn start(env: &Env, id: &SandboxId, request: &Request) -> Result<Response, ApiError> {
    let without = query::value(url::query(&request.url()), "without")?;
    match without.as_deref() {
        None => object::call(env, id, ObjectCall::Start).await,
        Some("restore") => object::call_query(env, id, ObjectCall::Start, "without=restore").await,
        Some(_) => Err(Invalid::request("without must be restore").into()),
    }
}

/// 204, whether or not there was a sandbox to destroy. With `?save=true`, its workspace is saved
/// before, or nothing is destroyed.
pub async fn destroy(env: &Env, id: &SandboxId, request: &Request) -> Result<Response, ApiError> {
    match query::flag(url::query(&request.url()), "save")? {
        false => object::call(env, id, ObjectCall::Destroy).await,
        true => object::call_query(env, id, ObjectCall::Destroy, "save=true").await,
    }
}

/// 200 `{"running": bool}`. Starts no sandbox.
pub async fn running(env: &Env, id: &SandboxId) -> Result<Response, ApiError> {
    object::call(env, id, ObjectCall::Running).await
}
