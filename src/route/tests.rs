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
        ("GET", "/v1/openapi.json", Route::OpenApi),
        ("GET", "/v1/openapi.html", Route::Explorer),
        ("GET", "/v1/openapi", Route::Explorer),
        ("GET", "/v1/pool/stats", Route::PoolStats),
        ("POST", "/v1/pool/prime", Route::PrimePool),
        ("POST", "/v1/pool/shutdown-prewarmed", Route::ShutdownPrewarmed),
        ("POST", "/v1/sandbox", Route::Create),
        ("POST", "/v1/sandbox/", Route::Create),
        ("DELETE", "/v1/sandbox/abc", Route::Destroy(id("abc"))),
        ("POST", "/v1/sandbox/abc/exec", Route::Exec(id("abc"))),
        ("GET", "/v1/sandbox/abc/pty", Route::Pty(id("abc"))),
        ("GET", "/v1/sandbox/abc/running", Route::Running(id("abc"))),
        ("POST", "/v1/sandbox/abc/session", Route::CreateSession(id("abc"))),
        (
            "DELETE",
            "/v1/sandbox/abc/session/S_1.2-x",
            Route::DeleteSession(id("abc"), SessionId::parse("S_1.2-x").unwrap()),
        ),
        ("GET", "/v1/sandbox/abc/persist", Route::Persist(id("abc"))),
        ("POST", "/v1/sandbox/abc/persist", Route::Persist(id("abc"))),
        ("POST", "/v1/sandbox/abc/hydrate", Route::Hydrate(id("abc"))),
        (
            "POST",
            "/v1/sandbox/abc/tunnel/8080",
            Route::OpenTunnel(id("abc"), Port::parse("8080").unwrap()),
        ),
        (
            "DELETE",
            "/v1/sandbox/abc/tunnel/65535",
            Route::CloseTunnel(id("abc"), Port::parse("65535").unwrap()),
        ),
        ("POST", "/v1/sandbox/abc/mount", Route::Mount(id("abc"))),
        ("POST", "/v1/sandbox/abc/unmount", Route::Unmount(id("abc"))),
        ("HEAD", "/v1/sandbox/abc/s3", Route::S3(id("abc"))),
        ("PUT", "/v1/sandbox/abc/s3/mounted-bucket/k", Route::S3(id("abc"))),
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
        let is_open = at == "/health" || at.contains("/s3");
        assert_eq!(resolved.guarded, !is_open, "{at}");
    }
}

#[test]
fn the_explorer_loads_its_files_without_the_key_and_no_others() {
    for file in ExplorerFile::ALL {
        let resolved = resolve("GET", file.path()).unwrap();
        assert_eq!(
            (resolved.route, resolved.guarded),
            (Ok(Route::ExplorerFile(file)), false)
        );
    }
    for at in [
        "/explorer",
        "/explorer/",
        "/explorer/openapi.json",
        "/openapi.json",
        "/openapi.html",
    ] {
        assert_eq!(resolve("GET", at).unwrap().route, Err(ApiError::NotFound), "{at}");
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
        ("/v1/sandbox/abc/", true),
        ("/v1/sandbox/abc/tunnel", true),
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
        ("PUT", "/v1/openapi.json", "GET"),
        ("POST", "/explorer/explorer.js", "GET"),
        ("POST", "/v1/pool/stats", "GET"),
        ("GET", "/v1/pool/prime", "POST"),
        ("DELETE", "/v1/pool/shutdown-prewarmed", "POST"),
        ("GET", "/v1/sandbox/abc", "DELETE"),
        ("GET", "/v1/sandbox/abc/exec", "POST"),
        ("DELETE", "/v1/sandbox/abc/file/workspace/a", "GET, HEAD, PUT"),
        ("POST", "/v1/sandbox/abc/pty", "GET"),
        ("POST", "/v1/sandbox/abc/running", "GET"),
        ("GET", "/v1/sandbox/abc/session", "POST"),
        ("GET", "/v1/sandbox/abc/session/s", "DELETE"),
        ("PUT", "/v1/sandbox/abc/persist", "GET, POST"),
        ("GET", "/v1/sandbox/abc/hydrate", "POST"),
        ("GET", "/v1/sandbox/abc/tunnel/8080", "POST, DELETE"),
    ] {
        assert_eq!(
            resolve(method, at).unwrap().route,
            Err(ApiError::MethodNotAllowed(allowed)),
            "{method} {at}"
        );
    }
}

#[test]
fn a_malformed_session_is_400() {
    for session in ["a%20b", "a..b", "..", "a/b", &"a".repeat(129)] {
        let route = resolve("DELETE", &format!("/v1/sandbox/abc/session/{session}"))
            .unwrap()
            .route;
        assert_eq!(route.unwrap_err().parts().0, 400, "{session}");
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

#[test]
fn a_bad_port_is_400() {
    for at in ["80", "3000", "65536", "", "8080/", "8080/more", "%38080", "x"] {
        let route = resolve("POST", &format!("/v1/sandbox/abc/tunnel/{at}"))
            .unwrap()
            .route;
        let error = route.unwrap_err();
        assert_eq!(error.parts().0, 400, "{at}");
        assert!(error.body().error.starts_with("Invalid port"), "{at}");
    }
}
