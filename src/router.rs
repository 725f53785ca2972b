//! Routes one request, from start to end: resolve, authorize, call the handler, log.

use futures_util::future::LocalBoxFuture;
use sandbox_protocol::route_table::Operation;
use sandbox_protocol::{ContextId, FilePath, Port, ProcessId, ServerPort, SessionId, SnapshotId, query};
use web_sys::{Request, Response};
use worker::Env;

use crate::api;
use crate::api::openapi::ExplorerFile;
use crate::auth;
use crate::caller::Caller;
use crate::config::Config;
use crate::cors::Cors;
use crate::error::ApiError;
use crate::exchange::Exchange;
use crate::preview;
use crate::resolve::{self, Resolved};
use crate::response;
use crate::url;

/// Handles a request. Its host decides first: a preview has no route of the API.
pub async fn handle(request: Request, env: &Env, caller: Caller) -> Response {
    let config = Config::from_env(env);
    let url = request.url();
    // The requests of a container that the runtime intercepts have any host that its programs name.
    if caller == Caller::External
        && let Ok(config) = &config
        && let Some(label) = preview::requested(config, &url)
    {
        return answer_preview(request, env, config, &label).await;
    }
    let cors = config.and_then(|config| Cors::from_request(&config.allowed_origins, &request));
    let Ok(Some(cors)) = cors else {
        return answer(request, &url, env, caller).await;
    };
    let allowed = match cors.preflight() {
        Some(preflight) => preflight,
        None => cors.allow(answer(request, &url, env, caller).await),
    };
    allowed.unwrap_or_else(|_| Response::error())
}

/// Answers a request that an operation makes in its turn, as any other of the same sender.
pub fn call(request: Request, env: Env, caller: Caller) -> LocalBoxFuture<'static, Response> {
    Box::pin(async move {
        let url = request.url();
        answer(request, &url, &env, caller).await
    })
}

/// Answers a request of the API. Every failure becomes a JSON error.
async fn answer(request: Request, url: &str, env: &Env, caller: Caller) -> Response {
    let exchange = Exchange::begin(&request);
    let method = request.method();
    let (resolved, result) = match resolve::resolve(&method, url::path(url)) {
        Ok(resolved) => {
            let result = authorize_and_dispatch(&resolved, request, url, env, &caller).await;
            (Some(resolved), result)
        }
        Err(invalid) => (None, Err(invalid.into())),
    };
    let operation = resolved.as_ref().and_then(|r| r.operation.as_ref().ok());
    let pattern = resolved
        .as_ref()
        .map_or("/v1/sandbox/{invalid id}", |r| r.pattern);
    let sandbox = resolved.as_ref().and_then(|r| r.sandbox.as_ref());
    exchange
        .finish(pattern, operation.copied(), sandbox, result, response::error)
        .await
}

/// Answers a request for the preview with this label.
async fn answer_preview(request: Request, env: &Env, config: &Config, label: &str) -> Response {
    let exchange = Exchange::begin(&request);
    let is_for_person = api::preview::is_for_person(&request).unwrap_or_default();
    let (sandbox, result) = match preview::verify(&config.api_keys, label).await {
        Ok(label) => {
            let result = api::preview::visit(env, config, &label, request).await;
            (Some(label.sandbox), result)
        }
        Err(e) => (None, Err(e)),
    };
    let response = exchange
        .finish(
            "preview",
            None,
            sandbox.as_ref(),
            result,
            response::error_beside_server,
        )
        .await;
    match is_for_person {
        true => api::preview::for_person(response)
            .await
            .unwrap_or_else(|_| Response::error()),
        false => response,
    }
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
    let mut is_for_one_sandbox = false;
    if resolved.access.is_guarded() {
        let mut authorization = request.headers().get("authorization")?;
        if authorization.is_none() {
            authorization = key_in_query(&resolved.operation, url);
        }
        let config = config()?;
        check_page(config, &resolved.operation, &request, url)?;
        let authority = auth::authorize(config, authorization.as_deref(), url).await?;
        authority.check(resolved.access, resolved.sandbox.as_ref())?;
        is_for_one_sandbox = authority.sandbox().is_some();
    }
    let id = || resolved.id();
    let path = || -> Result<FilePath, ApiError> {
        Ok(FilePath::from_url(
            resolved.parameter("path"),
            &config()?.file_roots,
        )?)
    };
    let process = || ProcessId::parse(resolved.parameter("pid"));
    let context = || ContextId::parse(resolved.parameter("cid"));
    let snapshot = || SnapshotId::parse(resolved.parameter("snapshot"));
    let server_port = || ServerPort::parse(resolved.parameter("port"));
    match resolved.operation.clone()? {
        Operation::HealthCheck | Operation::HeadHealth => api::health::health(env, config()),
        Operation::ExplorerFile => {
            let file = ExplorerFile::parse(resolved.parameter("file"))?;
            api::openapi::explorer_file(env, file, &request).await
        }
        Operation::GetOpenApiSchema => api::openapi::document(env, &request).await,
        Operation::OpenExplorer | Operation::OpenExplorerShort => api::openapi::explorer(env, &request).await,
        Operation::CallMcp => api::mcp::serve(env, config()?, None, caller, &request).await,
        Operation::CallSandboxMcp => api::mcp::serve(env, config()?, Some(id()?), caller, &request).await,
        Operation::CreateToken => api::token::create(config()?, &request).await,
        Operation::GetPoolStats => api::pool::stats(env).await,
        Operation::PrimePool => api::pool::prime(env, config()?).await,
        Operation::ShutdownPrewarmed => api::pool::shutdown_prewarmed(env).await,
        Operation::CreateSandbox => api::sandbox::create(env, config()?, &request).await,
        Operation::ListSandboxes => api::sandbox::list(env, config()?, &request).await,
        Operation::GetSandbox => api::sandbox::show(env, id()?).await,
        Operation::UpdateSandbox => {
            api::sandbox::update(env, config()?, id()?, &request, is_for_one_sandbox).await
        }
        Operation::StopSandbox => api::sandbox::stop(env, id()?).await,
        Operation::StartSandbox => api::sandbox::start(env, id()?, &request).await,
        Operation::DeleteSandbox => api::sandbox::destroy(env, id()?, &request).await,
        Operation::IsSandboxRunning => api::sandbox::running(env, id()?).await,
        Operation::ExecCommand => api::exec::exec(env, id()?, request).await,
        Operation::StartProcess => api::process::start(env, id()?, request).await,
        Operation::ListProcesses => api::process::list(env, id()?, request).await,
        Operation::EndProcesses => api::process::end_all(env, id()?, request).await,
        Operation::GetProcess => api::process::show(env, id()?, &process()?, request).await,
        Operation::EndProcess => api::process::end(env, id()?, &process()?, request).await,
        Operation::GetProcessLog => api::process::log(env, id()?, &process()?, request).await,
        Operation::WriteProcessStdin => {
            api::process::write_stdin(env, config()?, id()?, &process()?, request).await
        }
        Operation::AttachProcess => api::process::attach(env, id()?, &process()?, request).await,
        Operation::SignalProcess => api::process::signal(env, id()?, &process()?, request).await,
        Operation::WaitForProcess => api::process::wait(env, id()?, &process()?, request).await,
        Operation::CreateContext => api::code::create(env, id()?, request).await,
        Operation::ListContexts => api::code::list(env, id()?, request).await,
        Operation::DeleteContext => api::code::forward(env, id()?, &context()?, "", request).await,
        Operation::InterruptContext => {
            api::code::forward(env, id()?, &context()?, "/interrupt", request).await
        }
        Operation::RestartContext => api::code::forward(env, id()?, &context()?, "/restart", request).await,
        Operation::GetContextOutput => {
            let [number, media_type] = ["n", "mime"].map(|name| resolved.parameter(name));
            api::code::output(env, id()?, &context()?, number, media_type, request).await
        }
        Operation::RunCode => api::code::run(env, id()?, request).await,
        Operation::ListLanguages => api::code::languages(env, id()?, request).await,
        Operation::PtyTerminal => api::pty::pty(env, id()?, request).await,
        Operation::CreateSession => api::session::create(env, id()?, request).await,
        Operation::DeleteSession => {
            let session = SessionId::parse(resolved.parameter("sid"))?;
            api::session::delete(env, id()?, &session, request).await
        }
        Operation::ReadFile | Operation::HeadFile => api::file::read(env, id()?, &path()?, request).await,
        Operation::WriteFile => api::file::write(env, config()?, id()?, &path()?, request).await,
        Operation::DeleteFile => api::file::delete(env, id()?, &path()?, request).await,
        Operation::SetFileAttributes => api::file::set_attributes(env, id()?, &path()?, request).await,
        Operation::ListDirectory => api::directory::list(env, id()?, &path()?, request).await,
        Operation::CreateDirectory => api::directory::create(env, id()?, &path()?, request).await,
        Operation::StatFile => api::stat::stat(env, id()?, &path()?, request).await,
        Operation::MoveFile => api::transfer::rename(env, config()?, id()?, request).await,
        Operation::EditFiles => api::edit::edit(env, config()?, id()?, request).await,
        Operation::SearchFiles => api::search::search(env, config()?, id()?, request).await,
        Operation::WatchFiles => api::watch::watch(env, id()?, &path()?, request).await,
        Operation::GetChanges => api::watch::changes(env, id()?, &path()?, request).await,
        Operation::CopyFile => api::transfer::copy(env, config()?, id()?, request).await,
        Operation::PersistWorkspace | Operation::DownloadWorkspace => {
            api::workspace::persist(env, config()?, id()?, request).await
        }
        Operation::HydrateWorkspace => api::workspace::hydrate(env, config()?, id()?, request).await,
        Operation::GitCheckout => api::git::checkout(env, id()?, request).await,
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
        Operation::ListPorts => api::port::list(env, config()?, id()?, request).await,
        Operation::ExposePort => api::port::expose(env, config()?, id()?, server_port()?, request).await,
        Operation::UnexposePort => api::port::unexpose(env, id()?, server_port()?, request).await,
        Operation::WaitForPort => api::port::wait(env, id()?, server_port()?, request).await,
        Operation::ProxyPort => api::port::proxy(env, config()?, id()?, server_port()?, request).await,
        Operation::ConnectTcp => api::port::tcp(env, id()?, server_port()?, request).await,
        Operation::ListSnapshots => api::snapshot::list(env, config()?, &request).await,
        Operation::GetSnapshot => api::snapshot::show(env, config()?, &snapshot()?).await,
        Operation::DeleteSnapshot => api::snapshot::delete(env, config()?, &snapshot()?).await,
        Operation::CreateSnapshot => api::snapshot::create(env, config()?, id()?, &request).await,
        Operation::RestoreSnapshot => {
            api::snapshot::restore(env, config()?, id()?, &request, is_for_one_sandbox).await
        }
        Operation::ForkSandbox if is_for_one_sandbox => Err(ApiError::Forbidden(
            "the token is for one sandbox alone, and a fork makes others".into(),
        )),
        Operation::ForkSandbox => api::snapshot::fork(env, id()?, &request).await,
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

/// Refuses requests of web pages of other origins. Without a key, all of them: a page would need to know
/// nothing. With a key, those of the Model Context Protocol, whose specification demands 403.
fn check_page(
    config: &Config,
    operation: &Result<Operation, ApiError>,
    request: &Request,
    url: &str,
) -> Result<(), ApiError> {
    let is_mcp = matches!(operation, Ok(Operation::CallMcp | Operation::CallSandboxMcp));
    if !is_mcp && config.api_keys.first().is_some() || !is_cross_origin(config, operation, request, url)? {
        return Ok(());
    }
    Err(match is_mcp {
        true => ApiError::Forbidden("pages of this origin may not call this: see ALLOWED_ORIGINS".into()),
        false => ApiError::CrossOrigin,
    })
}

/// Whether a web page of an origin that is not allowed makes this request. Links to the document are allowed
/// anywhere: it changes nothing.
fn is_cross_origin(
    config: &Config,
    operation: &Result<Operation, ApiError>,
    request: &Request,
    url: &str,
) -> Result<bool, ApiError> {
    if operation.as_ref().is_ok_and(|operation| is_page(*operation)) {
        return Ok(false);
    }
    let headers = request.headers();
    let (origin, site) = (headers.get("origin")?, headers.get("sec-fetch-site")?);
    if origin
        .as_deref()
        .is_some_and(|origin| config.allowed_origins.allows(origin))
    {
        return Ok(false);
    }
    Ok(auth::is_cross_origin(origin.as_deref(), site.as_deref(), url))
}

/// The key in the query, for browsers, which can set the headers neither of a WebSocket nor of a
/// page that they open.
fn key_in_query(operation: &Result<Operation, ApiError>, url: &str) -> Option<String> {
    let parameter = |name| query::value(url::query(url), name).unwrap_or_default();
    match operation {
        Ok(Operation::PtyTerminal | Operation::AttachProcess | Operation::ConnectTcp) => {
            parameter("authorization")
        }
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
