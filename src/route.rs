//! Method and path → [`Route`]: the whole API on one screen.

use sandbox_protocol::{Invalid, Port, SandboxId, SessionId, WorkspacePath};

use crate::error::ApiError;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /health`
    Health,
    /// `GET /v1/openapi.json`
    OpenApi,
    /// `GET /v1/openapi.html`, `GET /v1/openapi`
    Explorer,
    /// `GET /explorer/{file}`: a file that the explorer loads.
    ExplorerFile(ExplorerFile),
    /// `GET /v1/pool/stats`
    PoolStats,
    /// `POST /v1/pool/prime`
    PrimePool,
    /// `POST /v1/pool/shutdown-prewarmed`
    ShutdownPrewarmed,
    /// `POST /v1/sandbox`
    Create,
    /// `DELETE /v1/sandbox/{id}`
    Destroy(SandboxId),
    /// `POST /v1/sandbox/{id}/exec`
    Exec(SandboxId),
    /// `GET /v1/sandbox/{id}/pty`
    Pty(SandboxId),
    /// `GET|HEAD /v1/sandbox/{id}/file/{path}`
    ReadFile(SandboxId, WorkspacePath),
    /// `PUT /v1/sandbox/{id}/file/{path}`
    WriteFile(SandboxId, WorkspacePath),
    /// `GET|POST /v1/sandbox/{id}/persist`
    Persist(SandboxId),
    /// `POST /v1/sandbox/{id}/hydrate`
    Hydrate(SandboxId),
    /// `GET /v1/sandbox/{id}/running`
    Running(SandboxId),
    /// `POST /v1/sandbox/{id}/session`
    CreateSession(SandboxId),
    /// `DELETE /v1/sandbox/{id}/session/{sid}`
    DeleteSession(SandboxId, SessionId),
    /// `POST /v1/sandbox/{id}/tunnel/{port}`
    OpenTunnel(SandboxId, Port),
    /// `DELETE /v1/sandbox/{id}/tunnel/{port}`
    CloseTunnel(SandboxId, Port),
    /// `POST /v1/sandbox/{id}/mount`
    Mount(SandboxId),
    /// `POST /v1/sandbox/{id}/unmount`
    Unmount(SandboxId),
    /// `/v1/sandbox/{id}/s3/…`: what the s3fs of a sandbox asks of its own Sandbox object. No client's.
    S3(SandboxId),
}

/// A file of the explorer, the same on every bridge: a browser loads it without the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplorerFile {
    /// Swagger UI.
    Library,
    /// Swagger UI's style.
    LibraryStyle,
    /// What sets Swagger UI up for this API.
    Script,
    /// What this API adds to Swagger UI's style.
    Style,
    /// The licenses of Swagger UI and what is in it, which go where it goes.
    Licenses,
}

impl ExplorerFile {
    const ALL: [Self; 5] = [
        Self::Library,
        Self::LibraryStyle,
        Self::Script,
        Self::Style,
        Self::Licenses,
    ];

    /// The path, in URLs as among the static assets.
    pub fn path(self) -> &'static str {
        match self {
            Self::Library => "/explorer/swagger-ui-bundle.js",
            Self::LibraryStyle => "/explorer/swagger-ui.css",
            Self::Script => "/explorer/explorer.js",
            Self::Style => "/explorer/explorer.css",
            Self::Licenses => "/explorer/swagger-ui-bundle.js.LICENSE.txt",
        }
    }

    fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.path() == path)
    }
}

/// Where a request goes, told in the order in which it is checked: the id's form (the error of [`resolve`]), then the
/// key if the place is `guarded`, then the route.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The place in the API, without what a client filled in; for the log.
    pub pattern: &'static str,
    /// The sandbox that the path names.
    pub sandbox: Option<SandboxId>,
    /// Whether the caller must show the key.
    pub guarded: bool,
    /// The route, or why there is none.
    pub route: Result<Route, ApiError>,
}

/// Resolves a request by its method and its raw (percent-encoded) path, without the query.
pub fn resolve(method: &str, path: &str) -> Result<Resolved, Invalid> {
    let open = |pattern, route| Resolved {
        pattern,
        sandbox: None,
        guarded: false,
        route,
    };
    let Some(rest) = path.strip_prefix("/v1/") else {
        return Ok(match path {
            "/health" => open("/health", allow(method, "GET, HEAD", || Ok(Route::Health))),
            _ => match ExplorerFile::from_path(path) {
                Some(file) => open(
                    "/explorer/{file}",
                    allow(method, "GET", || Ok(Route::ExplorerFile(file))),
                ),
                None => open("unknown", Err(ApiError::NotFound)),
            },
        });
    };
    let Some(rest) = rest.strip_prefix("sandbox/").filter(|rest| !rest.is_empty()) else {
        let (pattern, route) = outside_sandboxes(method, rest);
        return Ok(Resolved {
            pattern,
            sandbox: None,
            guarded: true,
            route,
        });
    };
    let (id, operation) = rest
        .split_once('/')
        .map_or((rest, None), |(id, rest)| (id, Some(rest)));
    let id = SandboxId::parse(id)?;
    let (pattern, route) = in_sandbox(method, id.clone(), operation);
    Ok(Resolved {
        pattern,
        sandbox: Some(id),
        // Of those the object asks for the token of a mount.
        guarded: !matches!(route, Ok(Route::S3(_))),
        route,
    })
}

fn outside_sandboxes(method: &str, rest: &str) -> (&'static str, Result<Route, ApiError>) {
    match rest {
        "sandbox" | "sandbox/" => ("/v1/sandbox", allow(method, "POST", || Ok(Route::Create))),
        "openapi.json" => ("/v1/openapi.json", allow(method, "GET", || Ok(Route::OpenApi))),
        "openapi.html" | "openapi" => ("/v1/openapi.html", allow(method, "GET", || Ok(Route::Explorer))),
        "pool/stats" => ("/v1/pool/stats", allow(method, "GET", || Ok(Route::PoolStats))),
        "pool/prime" => ("/v1/pool/prime", allow(method, "POST", || Ok(Route::PrimePool))),
        "pool/shutdown-prewarmed" => (
            "/v1/pool/shutdown-prewarmed",
            allow(method, "POST", || Ok(Route::ShutdownPrewarmed)),
        ),
        _ => ("unknown", Err(ApiError::NotFound)),
    }
}

fn in_sandbox(
    method: &str,
    id: SandboxId,
    operation: Option<&str>,
) -> (&'static str, Result<Route, ApiError>) {
    match operation {
        // Not with a slash behind it: clients make that of a segment of dots, so that "session/.." would destroy a sandbox.
        None => (
            "/v1/sandbox/{id}",
            allow(method, "DELETE", || Ok(Route::Destroy(id))),
        ),
        Some("exec") => (
            "/v1/sandbox/{id}/exec",
            allow(method, "POST", || Ok(Route::Exec(id))),
        ),
        Some("persist") => (
            "/v1/sandbox/{id}/persist",
            allow(method, "GET, POST", || Ok(Route::Persist(id))),
        ),
        Some("hydrate") => (
            "/v1/sandbox/{id}/hydrate",
            allow(method, "POST", || Ok(Route::Hydrate(id))),
        ),
        Some("pty") => (
            "/v1/sandbox/{id}/pty",
            allow(method, "GET", || Ok(Route::Pty(id))),
        ),
        Some("running") => (
            "/v1/sandbox/{id}/running",
            allow(method, "GET", || Ok(Route::Running(id))),
        ),
        Some("session" | "session/") => (
            "/v1/sandbox/{id}/session",
            allow(method, "POST", || Ok(Route::CreateSession(id))),
        ),
        Some("mount") => (
            "/v1/sandbox/{id}/mount",
            allow(method, "POST", || Ok(Route::Mount(id))),
        ),
        Some("unmount") => (
            "/v1/sandbox/{id}/unmount",
            allow(method, "POST", || Ok(Route::Unmount(id))),
        ),
        Some("file") => file(method, id, ""),
        Some("s3") => ("/v1/sandbox/{id}/s3", Ok(Route::S3(id))),
        Some(operation) => match operation.split_once('/') {
            Some(("file", path)) => file(method, id, path),
            Some(("s3", _)) => ("/v1/sandbox/{id}/s3", Ok(Route::S3(id))),
            Some(("session", session)) => (
                "/v1/sandbox/{id}/session/{sid}",
                allow(method, "DELETE", || {
                    Ok(Route::DeleteSession(id, SessionId::parse(session)?))
                }),
            ),
            Some(("tunnel", port)) => tunnel(method, id, port),
            _ => ("/v1/sandbox/{id}/unknown", Err(ApiError::NotFound)),
        },
    }
}

fn tunnel(method: &str, id: SandboxId, port: &str) -> (&'static str, Result<Route, ApiError>) {
    let route = allow(method, "POST, DELETE", || {
        let port = Port::parse(port)?;
        Ok(if method == "POST" {
            Route::OpenTunnel(id, port)
        } else {
            Route::CloseTunnel(id, port)
        })
    });
    ("/v1/sandbox/{id}/tunnel/{port}", route)
}

fn file(method: &str, id: SandboxId, encoded: &str) -> (&'static str, Result<Route, ApiError>) {
    let route = allow(method, "GET, HEAD, PUT", || {
        let path = WorkspacePath::from_url(encoded)?;
        Ok(if method == "PUT" {
            Route::WriteFile(id, path)
        } else {
            Route::ReadFile(id, path)
        })
    });
    ("/v1/sandbox/{id}/file/{path}", route)
}

fn allow(
    method: &str,
    methods: &'static str,
    route: impl FnOnce() -> Result<Route, ApiError>,
) -> Result<Route, ApiError> {
    if methods.split(", ").any(|allowed| allowed == method) {
        route()
    } else {
        Err(ApiError::MethodNotAllowed(methods))
    }
}

#[cfg(test)]
mod tests;
