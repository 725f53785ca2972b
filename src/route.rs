//! Method and path → [`Route`]: the whole API on one screen.

use sandbox_protocol::{Invalid, SandboxId, WorkspacePath};

use crate::error::ApiError;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /health`
    Health,
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
    /// `GET|HEAD /v1/sandbox/{id}/file/{path}`
    ReadFile(SandboxId, WorkspacePath),
    /// `PUT /v1/sandbox/{id}/file/{path}`
    WriteFile(SandboxId, WorkspacePath),
    /// `GET /v1/sandbox/{id}/running`
    Running(SandboxId),
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
            _ => open("unknown", Err(ApiError::NotFound)),
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
        guarded: true,
        route,
    })
}

fn outside_sandboxes(method: &str, rest: &str) -> (&'static str, Result<Route, ApiError>) {
    match rest {
        "sandbox" | "sandbox/" => ("/v1/sandbox", allow(method, "POST", || Ok(Route::Create))),
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
        None | Some("") => (
            "/v1/sandbox/{id}",
            allow(method, "DELETE", || Ok(Route::Destroy(id))),
        ),
        Some("exec") => (
            "/v1/sandbox/{id}/exec",
            allow(method, "POST", || Ok(Route::Exec(id))),
        ),
        Some("running") => (
            "/v1/sandbox/{id}/running",
            allow(method, "GET", || Ok(Route::Running(id))),
        ),
        Some("file") => file(method, id, ""),
        Some(operation) => match operation.strip_prefix("file/") {
            Some(path) => file(method, id, path),
            None => ("/v1/sandbox/{id}/unknown", Err(ApiError::NotFound)),
        },
    }
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
mod tests {
    use super::*;

    fn id(text: &str) -> SandboxId {
        SandboxId::parse(text).unwrap()
    }

    fn path(text: &str) -> WorkspacePath {
        WorkspacePath::parse("path", text).unwrap()
    }

    #[test]
    fn every_route() {
        for (method, at, route) in [
            ("GET", "/health", Route::Health),
            ("HEAD", "/health", Route::Health),
            ("GET", "/v1/pool/stats", Route::PoolStats),
            ("POST", "/v1/pool/prime", Route::PrimePool),
            ("POST", "/v1/pool/shutdown-prewarmed", Route::ShutdownPrewarmed),
            ("POST", "/v1/sandbox", Route::Create),
            ("POST", "/v1/sandbox/", Route::Create),
            ("DELETE", "/v1/sandbox/abc", Route::Destroy(id("abc"))),
            ("POST", "/v1/sandbox/abc/exec", Route::Exec(id("abc"))),
            ("GET", "/v1/sandbox/abc/running", Route::Running(id("abc"))),
            (
                "GET",
                "/v1/sandbox/abc/file/workspace/a%20b",
                Route::ReadFile(id("abc"), path("a b")),
            ),
            (
                "HEAD",
                "/v1/sandbox/abc/file/workspace/a",
                Route::ReadFile(id("abc"), path("a")),
            ),
            (
                "PUT",
                "/v1/sandbox/abc/file//workspace/a/../b",
                Route::WriteFile(id("abc"), path("b")),
            ),
        ] {
            let resolved = resolve(method, at).unwrap();
            assert_eq!(resolved.route, Ok(route), "{method} {at}");
            assert_eq!(resolved.guarded, at != "/health", "{at}");
        }
    }

    #[test]
    fn a_bad_id_is_refused_before_anything_else() {
        for at in [
            "/v1/sandbox/ABC/exec",
            "/v1/sandbox/a.b",
            "/v1/sandbox/a%20b/nothing",
            "/v1/sandbox//exec",
        ] {
            assert_eq!(
                resolve("PATCH", at).unwrap_err().message(),
                "Invalid sandbox ID format",
                "{at}"
            );
        }
        let long = format!("/v1/sandbox/{}/running", "a".repeat(129));
        assert_eq!(resolve("GET", &long).unwrap_err().status(), 400);
    }

    #[test]
    fn unknown_places_under_v1_are_guarded_and_others_are_not() {
        for (at, guarded) in [
            ("/", false),
            ("/sandbox/abc/exec", false),
            ("/v1", false),
            ("/v1/", true),
            ("/v1/other", true),
            ("/v1/pool", true),
            ("/v1/pool/stats/more", true),
            ("/v1/sandbox/abc/exec/more", true),
            ("/v1/sandbox/abc/nothing", true),
            ("/health/", false),
        ] {
            let resolved = resolve("GET", at).unwrap();
            assert_eq!(
                (resolved.route, resolved.guarded),
                (Err(ApiError::NotFound), guarded),
                "{at}"
            );
        }
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        for (method, at, allowed) in [
            ("POST", "/health", "GET, HEAD"),
            ("GET", "/v1/sandbox", "POST"),
            ("POST", "/v1/pool/stats", "GET"),
            ("GET", "/v1/pool/prime", "POST"),
            ("DELETE", "/v1/pool/shutdown-prewarmed", "POST"),
            ("GET", "/v1/sandbox/abc", "DELETE"),
            ("GET", "/v1/sandbox/abc/exec", "POST"),
            ("DELETE", "/v1/sandbox/abc/file/workspace/a", "GET, HEAD, PUT"),
            ("POST", "/v1/sandbox/abc/running", "GET"),
        ] {
            assert_eq!(
                resolve(method, at).unwrap().route,
                Err(ApiError::MethodNotAllowed(allowed)),
                "{method} {at}"
            );
        }
    }

    #[test]
    fn paths_outside_the_workspace_are_403_and_malformed_ones_400() {
        for (at, status) in [
            ("workspace/../etc/passwd", 403),
            ("etc/passwd", 403),
            ("main.py", 403),
            ("", 400),
            ("workspace/a%2Fb", 400),
            ("workspace/a%00b", 400),
        ] {
            let route = resolve("GET", &format!("/v1/sandbox/abc/file/{at}"))
                .unwrap()
                .route;
            assert_eq!(route.unwrap_err().parts().0, status, "{at}");
        }
        assert_eq!(
            resolve("GET", "/v1/sandbox/abc/file")
                .unwrap()
                .route
                .unwrap_err()
                .parts()
                .0,
            400
        );
    }
}
