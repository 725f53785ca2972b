//! One request from start to end: resolve, authorize, dispatch, log.

use sandbox_protocol::route::{Access, Operation};
use sandbox_protocol::{Port, SandboxId, SessionId, WorkspacePath, query};
use web_sys::{Request, Response};
use worker::Env;

use crate::api;
use crate::api::openapi::ExplorerFile;
use crate::auth;
use crate::caller::Caller;
use crate::config::Config;
use crate::discard::discard;
use crate::error::ApiError;
use crate::log::{self, RequestLine};
use crate::response;
use crate::router::{self, Resolved};
use crate::url;

/// Handles a request. Every failure becomes a JSON error.
pub async fn handle(request: Request, env: &Env, caller: Caller) -> Response {
    let started = js_sys::Date::now();
    let method = request.method();
    let url = request.url();
    // Clones the handle; the `clone` of the JavaScript object would tee the body.
    let discardable = Clone::clone(&request);
    let (resolved, result) = match router::resolve(&method, url::path(&url)) {
        Ok(resolved) => {
            let result = authorize_and_dispatch(&resolved, request, &url, env, &caller).await;
            (Some(resolved), result)
        }
        Err(invalid) => (None, Err(invalid.into())),
    };
    if result.is_err() {
        discard(&discardable).await;
    }
    // s3fs sends many requests, all for files. Its 403s are logged: the caller may not be s3fs.
    let is_of_s3fs = resolved
        .as_ref()
        .is_some_and(|r| r.operation == Ok(Operation::MountS3));
    let error = result.as_ref().err().map(|e| e.body().error);
    let response = result
        .or_else(|e| response::error(&e))
        .unwrap_or_else(|_| Response::error());
    if is_of_s3fs && response.status() < 500 && response.status() != 403 {
        return response;
    }
    log::request(&RequestLine {
        method: &method,
        route: resolved
            .as_ref()
            .map_or("/v1/sandbox/{invalid id}", |r| r.pattern),
        sandbox: resolved
            .as_ref()
            .and_then(|r| r.sandbox.as_ref())
            .map(SandboxId::as_str),
        status: response.status(),
        duration_ms: (js_sys::Date::now() - started) as u64,
        error: error.filter(|_| response.status() >= 500),
    });
    response
}

async fn authorize_and_dispatch(
    resolved: &Resolved<'_>,
    request: Request,
    url: &str,
    env: &Env,
    caller: &Caller,
) -> Result<Response, ApiError> {
    if let Caller::Container(own) = caller
        && !(resolved.operation == Ok(Operation::MountS3) && resolved.id()?.as_str() == own)
    {
        return Err(ApiError::Unauthorized);
    }
    let config = Config::from_env(env);
    let config = || config.as_deref().map_err(Clone::clone);
    if resolved.access == Access::Key {
        let mut authorization = request.headers().get("authorization")?;
        if authorization.is_none() {
            authorization = key_in_query(&resolved.operation, url);
        }
        let config = config()?;
        if config.api_key.is_none() && is_of_foreign_page(&resolved.operation, &request, url)? {
            return Err(ApiError::ForeignPage);
        }
        auth::authorize(config, authorization.as_deref(), url).await?;
    }
    let id = || resolved.id();
    match resolved.operation.clone()? {
        Operation::HealthCheck | Operation::HeadHealth => api::health::health(env, config()),
        Operation::ExplorerFile => {
            let file = ExplorerFile::parse(resolved.parameter("file"))?;
            api::openapi::explorer_file(env, file, &request).await
        }
        Operation::GetOpenApiSchema => api::openapi::document(env, &request).await,
        Operation::OpenExplorer | Operation::OpenExplorerShort => api::openapi::explorer(env, &request).await,
        Operation::GetPoolStats => api::pool::stats(env).await,
        Operation::PrimePool => api::pool::prime(env, config()?).await,
        Operation::ShutdownPrewarmed => api::pool::shutdown_prewarmed(env).await,
        Operation::CreateSandbox => api::sandbox::create(env, config()?).await,
        Operation::DeleteSandbox => api::sandbox::destroy(env, id()?).await,
        Operation::IsSandboxRunning => api::sandbox::running(env, id()?).await,
        Operation::ExecCommand => api::exec::exec(env, id()?, request).await,
        Operation::PtyTerminal => api::pty::pty(env, id()?, request).await,
        Operation::CreateSession => api::session::create(env, id()?, request).await,
        Operation::DeleteSession => {
            let session = SessionId::parse(resolved.parameter("sid"))?;
            api::session::delete(env, id()?, &session, request).await
        }
        Operation::ReadFile | Operation::HeadFile => {
            let path = WorkspacePath::from_url(resolved.parameter("path"))?;
            api::file::read(env, id()?, &path, request).await
        }
        Operation::WriteFile => {
            let path = WorkspacePath::from_url(resolved.parameter("path"))?;
            api::file::write(env, config()?, id()?, &path, request).await
        }
        Operation::PersistWorkspace | Operation::DownloadWorkspace => {
            api::workspace::persist(env, id()?, request).await
        }
        Operation::HydrateWorkspace => api::workspace::hydrate(env, config()?, id()?, request).await,
        Operation::MountBucket => api::mount::mount(env, config()?, id()?, request).await,
        Operation::UnmountBucket => api::mount::unmount(env, id()?, request).await,
        Operation::CreateTunnel => {
            let port = Port::parse(resolved.parameter("port"))?;
            api::tunnel::open(env, id()?, port, request).await
        }
        Operation::DeleteTunnel => {
            let port = Port::parse(resolved.parameter("port"))?;
            api::tunnel::close(env, id()?, port, request).await
        }
        Operation::MountS3 => {
            // Sandboxes of this machine are external callers, too. Without a local runtime there
            // are none, and no external caller may use this route.
            if *caller == Caller::External && config()?.runtime_url.is_none() {
                return Err(ApiError::NotFound);
            }
            api::s3::serve(env, config()?, id()?, caller, request).await
        }
    }
}

/// Whether a web page of another origin makes this request. Links to the document are allowed
/// anywhere: it changes nothing.
fn is_of_foreign_page(
    operation: &Result<Operation, ApiError>,
    request: &Request,
    url: &str,
) -> Result<bool, ApiError> {
    if operation.as_ref().is_ok_and(|operation| is_page(*operation)) {
        return Ok(false);
    }
    let headers = request.headers();
    let (origin, site) = (headers.get("origin")?, headers.get("sec-fetch-site")?);
    Ok(auth::is_of_foreign_page(origin.as_deref(), site.as_deref(), url))
}

/// The key in the query, for browsers, which can set the headers neither of a WebSocket nor of a
/// page that they open.
fn key_in_query(operation: &Result<Operation, ApiError>, url: &str) -> Option<String> {
    let parameter = |name| query::value(url::query(url), name).unwrap_or_default();
    match operation {
        Ok(Operation::PtyTerminal) => parameter("authorization"),
        Ok(operation) if is_page(*operation) => parameter("token").map(|key| format!("Bearer {key}")),
        _ => None,
    }
}

/// Whether the operation is a page that a person opens in a browser.
fn is_page(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetOpenApiSchema | Operation::OpenExplorer | Operation::OpenExplorerShort
    )
}
