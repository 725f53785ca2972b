use super::*;

#[test]
fn an_operation_is_found_with_its_parameters() {
    for (method, path, operation, parameter) in [
        ("GET", "/health", Operation::HealthCheck, None),
        ("HEAD", "/health", Operation::HeadHealth, None),
        ("GET", "/v1/openapi", Operation::OpenExplorerShort, None),
        ("POST", "/v1/sandbox", Operation::CreateSandbox, None),
        ("POST", "/v1/sandbox/", Operation::CreateSandbox, None),
        ("DELETE", "/v1/sandbox/abc", Operation::DeleteSandbox, None),
        ("POST", "/v1/sandbox/abc/exec", Operation::ExecCommand, None),
        ("POST", "/v1/sandbox/abc/session/", Operation::CreateSession, None),
        ("POST", "/v1/mcp", Operation::CallMcp, None),
        ("POST", "/v1/sandbox/abc/mcp", Operation::CallSandboxMcp, None),
        ("POST", "/v1/sandbox/abc/process", Operation::StartProcess, None),
        ("DELETE", "/v1/sandbox/abc/process", Operation::EndProcesses, None),
        (
            "DELETE",
            "/v1/sandbox/abc/process/p_1",
            Operation::EndProcess,
            Some(("pid", "p_1")),
        ),
        (
            "GET",
            "/v1/sandbox/abc/process/log/log",
            Operation::GetProcessLog,
            Some(("pid", "log")),
        ),
        (
            "DELETE",
            "/v1/sandbox/abc/session/S_1.2-x",
            Operation::DeleteSession,
            Some(("sid", "S_1.2-x")),
        ),
        (
            "GET",
            "/v1/sandbox/abc/persist",
            Operation::DownloadWorkspace,
            None,
        ),
        (
            "POST",
            "/v1/sandbox/abc/persist",
            Operation::PersistWorkspace,
            None,
        ),
        (
            "DELETE",
            "/v1/sandbox/abc/tunnel/65535",
            Operation::DeleteTunnel,
            Some(("port", "65535")),
        ),
        ("HEAD", "/v1/sandbox/abc/s3", Operation::MountS3, None),
        (
            "PATCH",
            "/v1/sandbox/abc/s3/mounted-bucket/k",
            Operation::MountS3,
            None,
        ),
        (
            "GET",
            "/v1/sandbox/abc/file/workspace/a%20b",
            Operation::ReadFile,
            Some(("path", "workspace/a%20b")),
        ),
        (
            "PUT",
            "/v1/sandbox/abc/file//workspace/a/../b",
            Operation::WriteFile,
            Some(("path", "/workspace/a/../b")),
        ),
    ] {
        let resolved = resolve(method, path).unwrap();
        assert_eq!(resolved.operation, Ok(operation), "{method} {path}");
        let sandbox = resolved.sandbox.as_ref().map(SandboxId::as_str);
        assert_eq!(sandbox, path.contains("/abc").then_some("abc"), "{path}");
        if let Some((name, value)) = parameter {
            assert_eq!(resolved.parameter(name), value);
        }
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
fn unknown_paths_under_v1_take_the_key_and_others_do_not() {
    for (at, takes_key) in [
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
        ("/v1/sandbox/abc/process/p/q", true),
        ("/v1/sandbox/abc/process/p/q/log", true),
        ("/v1/sandbox/abc/tunnel", true),
        ("/health/", false),
    ] {
        let resolved = resolve("GET", at).unwrap();
        assert_eq!(
            (resolved.operation, resolved.access.is_guarded()),
            (Err(ApiError::NotFound), takes_key),
            "{at}"
        );
    }
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    for (method, at, allowed) in [
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/v1/sandbox", "POST, GET"),
        ("PUT", "/v1/openapi.json", "GET"),
        ("POST", "/explorer/explorer.js", "GET"),
        ("POST", "/v1/pool/stats", "GET"),
        ("GET", "/v1/pool/prime", "POST"),
        ("DELETE", "/v1/pool/shutdown-prewarmed", "POST"),
        ("POST", "/v1/sandbox/abc", "GET, PATCH, DELETE"),
        ("GET", "/v1/sandbox/abc/exec", "POST"),
        (
            "POST",
            "/v1/sandbox/abc/file/workspace/a",
            "GET, HEAD, PUT, DELETE, PATCH",
        ),
        ("POST", "/v1/sandbox/abc/directory/workspace", "GET, PUT"),
        ("PUT", "/v1/sandbox/abc/stat/workspace/a", "GET"),
        ("GET", "/v1/sandbox/abc/move", "POST"),
        ("POST", "/v1/sandbox/abc/pty", "GET"),
        ("POST", "/v1/sandbox/abc/running", "GET"),
        ("GET", "/v1/mcp", "POST"),
        ("DELETE", "/v1/sandbox/abc/mcp", "POST"),
        ("GET", "/v1/sandbox/abc/session", "POST"),
        ("GET", "/v1/sandbox/abc/session/s", "DELETE"),
        ("PUT", "/v1/sandbox/abc/process", "POST, GET, DELETE"),
        ("POST", "/v1/sandbox/abc/process/p", "GET, DELETE"),
        ("GET", "/v1/sandbox/abc/process/p/wait", "POST"),
        ("PUT", "/v1/sandbox/abc/persist", "GET, POST"),
        ("GET", "/v1/sandbox/abc/hydrate", "POST"),
        ("GET", "/v1/sandbox/abc/tunnel/8080", "POST, DELETE"),
    ] {
        assert_eq!(
            resolve(method, at).unwrap().operation,
            Err(ApiError::MethodNotAllowed(allowed.to_owned())),
            "{method} {at}"
        );
    }
}

#[test]
fn each_method_has_its_own_access() {
    for (method, access) in [
        ("GET", Access::FilesRead),
        ("HEAD", Access::FilesRead),
        ("PUT", Access::FilesWrite),
    ] {
        let resolved = resolve(method, "/v1/sandbox/abc/file/workspace/a").unwrap();
        assert_eq!(resolved.access, access, "{method}");
    }
}
