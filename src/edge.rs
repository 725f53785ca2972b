//! One request from start to end: resolve, authorise, dispatch, log.

use js_sys::Reflect;
use sandbox_protocol::query;
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};
use worker::worker_sys;
use worker::{Context, Env};

use crate::api;
use crate::auth;
use crate::config::Config;
use crate::error::ApiError;
use crate::response;
use crate::route::{self, Resolved, Route};
use crate::url;

/// The log line of a request. It holds nothing that a client sent, the sandbox id aside: no key, no query, no body.
#[derive(Serialize)]
struct LogLine<'a> {
    message: &'static str,
    method: &'a str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<&'a str>,
    status: u16,
    /// Until the response's headers; a stream goes on after that.
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The property of a request's context that names the sandbox that it comes from. Only this Worker can set it.
pub const SANDBOX_PROP: &str = "sandbox";

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A client, or whoever else can reach the Worker.
    Anybody,
    /// The container of this sandbox, whatever runs in it. The platform handed the request here, and all that it may do is ask
    /// for its own mounts: without that, a container would be on the inside of a bridge without a key.
    Container(String),
}

/// Who sent the request with this context.
pub fn caller(context: &Context) -> Caller {
    let context: &worker_sys::Context = context.as_ref();
    let props = Reflect::get(context, &"props".into()).unwrap_or_default();
    match Reflect::get(&props, &SANDBOX_PROP.into())
        .ok()
        .and_then(|id| id.as_string())
    {
        Some(id) => Caller::Container(id),
        None => Caller::Anybody,
    }
}

/// Answers a request. Whatever goes wrong becomes a JSON error.
pub async fn answer(request: Request, env: &Env, caller: Caller) -> Response {
    let started = js_sys::Date::now();
    let method = request.method();
    let url = request.url();
    // The handle; the method of this name would tee the body.
    let refused = Clone::clone(&request);
    let (resolved, result) = match route::resolve(&method, url::path(&url)) {
        Ok(resolved) => {
            let result = guard_and_dispatch(&resolved, request, &url, env, &caller).await;
            (Some(resolved), result)
        }
        Err(invalid) => (None, Err(invalid.into())),
    };
    if result.is_err() {
        api::body::discard(&refused).await;
    }
    // s3fs asks a lot, and only about files.
    let is_of_s3fs = matches!(resolved.as_ref().map(|r| &r.route), Some(Ok(Route::S3(_))));
    let error = result.as_ref().err().map(|e| e.body().error);
    let response = result
        .or_else(|e| response::error(&e))
        .unwrap_or_else(|_| Response::error());
    if is_of_s3fs && response.status() < 500 {
        return response;
    }
    log(&LogLine {
        message: "request",
        method: &method,
        route: resolved
            .as_ref()
            .map_or("/v1/sandbox/{invalid id}", |r| r.pattern),
        sandbox: resolved
            .as_ref()
            .and_then(|r| r.sandbox.as_ref())
            .map(|id| id.as_str()),
        status: response.status(),
        duration_ms: (js_sys::Date::now() - started) as u64,
        error: error.filter(|_| response.status() >= 500),
    });
    response
}

async fn guard_and_dispatch(
    resolved: &Resolved,
    request: Request,
    url: &str,
    env: &Env,
    caller: &Caller,
) -> Result<Response, ApiError> {
    if let Caller::Container(own) = caller
        && !matches!(&resolved.route, Ok(Route::S3(id)) if id.as_str() == own)
    {
        return Err(ApiError::Unauthorized);
    }
    let config = Config::from_env(env);
    let config = || config.as_deref().map_err(Clone::clone);
    if resolved.guarded {
        let mut authorization = request.headers().get("authorization")?;
        if authorization.is_none() {
            authorization = in_query(&resolved.route, url);
        }
        auth::authorize(config()?, authorization.as_deref(), url).await?;
    }
    match resolved.route.clone()? {
        Route::Health => api::health::health(env, config()),
        Route::OpenApi => api::openapi::document(env, &request).await,
        Route::Explorer => api::openapi::explorer(env, &request).await,
        Route::ExplorerFile(file) => api::openapi::explorer_file(env, file, &request).await,
        Route::PoolStats => api::pool::stats(env).await,
        Route::PrimePool => api::pool::prime(env, config()?).await,
        Route::ShutdownPrewarmed => api::pool::shutdown_prewarmed(env).await,
        Route::Create => api::sandbox::create(env, config()?).await,
        Route::Destroy(id) => api::sandbox::destroy(env, &id).await,
        Route::Running(id) => api::sandbox::running(env, &id).await,
        Route::Exec(id) => api::exec::exec(env, &id, request).await,
        Route::Pty(id) => api::pty::pty(env, &id, request).await,
        Route::CreateSession(id) => api::session::create(env, &id, request).await,
        Route::DeleteSession(id, session) => api::session::delete(env, &id, &session, request).await,
        Route::OpenTunnel(id, port) => api::tunnel::open(env, &id, port, request).await,
        Route::CloseTunnel(id, port) => api::tunnel::close(env, &id, port, request).await,
        Route::Mount(id) => api::mount::mount(env, config()?, &id, request).await,
        Route::Unmount(id) => api::mount::unmount(env, &id, request).await,
        Route::S3(id) => {
            // Sandboxes of this machine ask like everybody else. Where there are none, nobody is to ask so.
            if *caller == Caller::Anybody && config()?.runtime_url.is_none() {
                return Err(ApiError::NotFound);
            }
            api::s3::serve(env, &id, request).await
        }
        Route::ReadFile(id, path) => api::file::read(env, &id, &path, request).await,
        Route::Persist(id) => api::workspace::persist(env, &id, request).await,
        Route::Hydrate(id) => api::workspace::hydrate(env, config()?, &id, request).await,
        Route::WriteFile(id, path) => api::file::write(env, config()?, &id, &path, request).await,
    }
}

/// The key where a browser shows it, which can choose the headers neither of a WebSocket nor of a page that it opens.
fn in_query(route: &Result<Route, ApiError>, url: &str) -> Option<String> {
    let parameter = |name| query::value(url::query(url), name).unwrap_or_default();
    match route {
        Ok(Route::Pty(_)) => parameter("authorization"),
        Ok(Route::OpenApi | Route::Explorer) => parameter("token").map(|key| format!("Bearer {key}")),
        _ => None,
    }
}

fn log(line: &LogLine) {
    if let Ok(text) = serde_json::to_string(line) {
        web_sys::console::log_1(&JsValue::from(text));
    }
}
