//! Each test tries to break a promise of docs/security.md.

use std::process::Command;

use sandbox_protocol::{ErrorBody, ErrorCode};
use serde_json::json;

use crate::support::{Sandboxd, sandboxd_path, with_body};

const SECRET: &str = "5ecre7-5ecre7-5ecre7-5ecre7";

/// A `sandboxd` with a secret, without the rights to look into any process: as root is in a
/// container.
fn with_secret(user: Option<&str>) -> Sandboxd {
    let mut command = Command::new("setpriv");
    let without = "-sys_ptrace,-perfmon,-sys_admin";
    command.args(["--bounding-set", without, "--inh-caps", without]);
    command.arg(sandboxd_path()).args(["--listen", "127.0.0.1:0"]);
    if !is_root() {
        command = Command::new(sandboxd_path());
        command.args(["--listen", "127.0.0.1:0"]);
    }
    Sandboxd::start_command(command, |command| {
        command
            .env("SANDBOX_SECRET", SECRET)
            .env("SANDBOX_BOOT_ID", "boot-8");
        command.envs(user.map(|user| ("SANDBOX_USER", user)));
    })
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn request(sandboxd: &Sandboxd, first: &str, secret: Option<&str>, body: &str) -> (String, String) {
    let secret = secret.map_or(String::new(), |secret| format!("Sandbox-Secret: {secret}\r\n"));
    sandboxd.raw_request(&with_body(first, &secret, body))
}

/// Runs a shell script as the object would.
fn sh(sandboxd: &Sandboxd, script: &str) -> String {
    let body = json!({"argv": ["sh", "-c", script]}).to_string();
    let (head, stream) = request(sandboxd, "POST /exec", Some(SECRET), &body);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).ok())
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
}

/// The users that commands can run as here: the user of sandboxd, and another one.
fn users() -> Vec<Option<&'static str>> {
    if is_root() {
        vec![None, Some("nobody")]
    } else {
        vec![None]
    }
}

#[test]
fn nothing_is_answered_without_the_secret() {
    let sandboxd = with_secret(None);
    let longer = format!("{SECRET}x");
    for first in [
        "GET /health",
        "GET /activity",
        "POST /exec",
        "GET /file/workspace/x",
        "PUT /file/workspace/x",
        "GET /none",
        "DELETE /health",
    ] {
        for secret in [None, Some(""), Some("x"), Some(&SECRET[1..]), Some(&longer)] {
            let (head, body) = request(&sandboxd, first, secret, "");
            assert!(head.starts_with("http/1.1 401"), "{first} {secret:?}: {head}");
            assert!(!head.contains("boot-8") && !head.contains(SECRET), "{head}");
            let error: ErrorBody = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (error.code, error.error.as_str()),
                (ErrorCode::Unauthorized, "Unauthorized")
            );
        }
    }
    let (head, _) = request(&sandboxd, "GET /health", Some(SECRET), "");
    assert!(
        head.starts_with("http/1.1 200") && head.contains("boot-8"),
        "{head}"
    );
    assert!(!head.contains(SECRET));
    assert_eq!(std::fs::read_dir(sandboxd.workspace.path()).unwrap().count(), 0);
}

#[test]
fn an_older_worker_that_gives_no_secret_is_served() {
    let sandboxd = Sandboxd::start();
    for secret in [None, Some("any")] {
        let (head, _) = request(&sandboxd, "GET /health", secret, "");
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }
}

#[test]
fn a_command_cannot_inspect_sandboxd() {
    for user in users() {
        let sandboxd = with_secret(user);
        let script = "cat /proc/$PPID/environ /proc/$PPID/maps /proc/$PPID/mem 2>&1; readlink /proc/$PPID/exe; \
            cat /proc/$PPID/fd/1 2>&1; env; cat /proc/self/environ; echo end";
        let output = sh(&sandboxd, script);
        assert!(output.ends_with("end\n"), "{output}");
        assert_eq!(
            output.matches("ermission denied").count(),
            4,
            "{user:?}: {output}"
        );
        assert!(
            !output.contains(SECRET) && !output.contains("SANDBOX_SECRET"),
            "{output}"
        );
    }
}

#[test]
fn a_command_cannot_act_through_the_port() {
    for user in users() {
        let sandboxd = with_secret(user);
        let port = sandboxd.address.port();
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; \
             printf 'GET /file/workspace/x HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n' >&3; cat <&3"
        );
        let output = sh(&sandboxd, &format!("exec bash -c {}", quoted(&script)));
        assert!(output.starts_with("HTTP/1.1 401"), "{user:?}: {output}");
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn a_command_inherits_nothing_of_sandboxd() {
    let sandboxd = with_secret(None);
    assert_eq!(
        sh(&sandboxd, "cd /proc/self/fd; echo *"),
        "0 1 2 3\n",
        "3 is the directory itself"
    );
}

#[test]
fn a_command_of_another_user_cannot_end_or_trace_sandboxd() {
    if !is_root() {
        return;
    }
    let sandboxd = with_secret(Some("nobody"));
    let output = sh(
        &sandboxd,
        "for s in TERM KILL STOP INT; do kill -$s $PPID 2>&1; done; kill -KILL -1 2>/dev/null; echo not reached",
    );
    assert_eq!(output.matches("not permitted").count(), 4, "{output}");
    assert!(
        request(&sandboxd, "GET /health", Some(SECRET), "")
            .0
            .starts_with("http/1.1 200")
    );
}

#[test]
fn the_log_has_nothing_of_clients_and_no_secret() {
    let sandboxd = with_secret(None);
    let mark = "m4rk3d";
    let body = json!({"argv": ["sh", "-c", format!("echo {mark} >&2; exit 3"), mark], "env": {mark: mark}, "stdin": mark});
    request(&sandboxd, "POST /exec", Some(SECRET), &body.to_string());
    let body = json!({"argv": [mark], "timeout_ms": 1}).to_string();
    request(&sandboxd, "POST /exec", Some(SECRET), &body);
    request(
        &sandboxd,
        "POST /exec",
        Some(SECRET),
        &format!("{{\"argv\": {mark}"),
    );
    request(
        &sandboxd,
        &format!("PUT /file/workspace/{mark}"),
        Some(SECRET),
        mark,
    );
    request(
        &sandboxd,
        &format!("GET /file/workspace/{mark}/{mark}"),
        Some(SECRET),
        "",
    );
    request(&sandboxd, &format!("GET /{mark}"), Some(mark), "");
    let log = || sandboxd.log.lock().unwrap().clone();
    crate::support::eventually("commands are logged", || log().contains("exit_code=3"));
    assert!(!log().contains(mark) && !log().contains(SECRET), "{}", log());
}

#[test]
fn errors_reveal_no_internals() {
    let sandboxd = with_secret(None);
    let inside = sandboxd.workspace.path().to_str().unwrap().to_owned();
    std::os::unix::fs::symlink("/etc/passwd", sandboxd.workspace.path().join("out")).unwrap();
    std::os::unix::fs::symlink("loop", sandboxd.workspace.path().join("loop")).unwrap();
    std::fs::create_dir(sandboxd.workspace.path().join("d")).unwrap();
    let long = "x".repeat(300);
    for (first, body) in [
        ("GET /none", ""),
        ("POST /exec", "{"),
        ("POST /exec", r#"{"argv":["x"],"cwd":"none"}"#),
        ("POST /exec", r#"{"argv":["/workspace/none"]}"#),
        ("POST /exec", r#"{"argv":["true"],"cwd":"out"}"#),
        ("GET /file/workspace/out", ""),
        ("GET /file/workspace/loop", ""),
        ("GET /file/workspace/none", ""),
        ("GET /file/workspace/d", ""),
        ("PUT /file/workspace/d", "x"),
        ("PUT /file/workspace/out", "x"),
        ("PUT /file/workspace/out/x", "x"),
        (&format!("PUT /file/workspace/{long}"), "x"),
        ("GET /file/%2e%2e/etc/passwd", ""),
    ] {
        let (_, output) = request(&sandboxd, first, Some(SECRET), body);
        for word in [
            &*inside,
            "/proc/self",
            ".rs",
            "panicked",
            "RUST_BACKTRACE",
            "root:",
            SECRET,
        ] {
            assert!(!output.contains(word), "{first}: {output}");
        }
    }
}
