//! Requests other than commands, and malformed ones.

use std::io::{Read as _, Write as _};

use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::sandboxd::Health;
use sandbox_protocol::{ErrorBody, ErrorCode};
use serde_json::json;

use crate::support::Sandboxd;

fn post(sandboxd: &Sandboxd, body: &str) -> (String, ErrorBody) {
    let (head, body) = sandboxd.send("POST /exec", body);
    (head, serde_json::from_str(&body).unwrap())
}

#[test]
fn health_and_boot_id() {
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("SANDBOX_BOOT_ID", "boot-7");
    });
    let (head, body) = sandboxd.request("GET", "/health");
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-type: application/json"),
        "{head}"
    );
    let health: Health = serde_json::from_str(&body).unwrap();
    assert!(health.ok);
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/none"),
        ("PUT", "/health"),
        ("GET", "/file/workspace/x"),
    ] {
        let (head, _) = sandboxd.request(method, path);
        assert!(
            head.contains("sandbox-boot-id: boot-7"),
            "{method} {path}: {head}"
        );
    }
    let [one, two] = [Sandboxd::start(), Sandboxd::start()].map(|sandboxd| {
        let (head, _) = sandboxd.request("GET", "/health");
        head.split_once("sandbox-boot-id: ")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap()
            .to_owned()
    });
    assert_ne!(one, two);
}

#[test]
fn unknown_routes_and_methods() {
    let sandboxd = Sandboxd::start();
    let (head, body) = sandboxd.request("GET", "/none");
    let error: ErrorBody = serde_json::from_str(&body).unwrap();
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert_eq!(error.code, ErrorCode::NotFound);
    for (method, path, allow) in [
        ("GET", "/exec", "allow: post"),
        ("DELETE", "/health", "allow: get,head"),
        ("POST", "/activity", "allow: get,head"),
        ("POST", "/file/workspace/x", "allow: get,head,put"),
    ] {
        let (head, body) = sandboxd.request(method, path);
        let error: ErrorBody = serde_json::from_str(&body).unwrap();
        assert!(
            head.starts_with("http/1.1 405") && head.contains(allow),
            "{method} {path}: {head}"
        );
        assert_eq!(error.code, ErrorCode::MethodNotAllowed);
    }
}

#[test]
fn wrong_commands_are_told_what_is_wrong() {
    let sandboxd = Sandboxd::start();
    std::fs::write(sandboxd.workspace.path().join("file"), "").unwrap();
    for (body, status, word) in [
        ("", "400", "JSON"),
        ("{", "400", "JSON"),
        (r#"{"argv":[]}"#, "400", "argv"),
        (r#"{"argv":["true"],"cwd":"missing"}"#, "400", "cwd"),
        (r#"{"argv":["true"],"cwd":"file"}"#, "400", "cwd"),
        (r#"{"argv":["true"],"cwd":"/etc"}"#, "403", "cwd"),
        (r#"{"argv":["true"],"timeout_ms":"1"}"#, "400", "timeout_ms"),
        (r#"{"argv":["a\u0000"]}"#, "400", "argv"),
    ] {
        let (head, error) = post(&sandboxd, body);
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{body}: {head}");
        assert!(
            error.error.contains(word) && error.code == ErrorCode::InvalidRequest,
            "{error:?}"
        );
    }
}

#[test]
fn a_body_that_is_too_large() {
    let sandboxd = Sandboxd::start();
    let length = MAX_BODY + 1;
    let head = format!("POST /exec HTTP/1.1\r\nhost: sandbox\r\ncontent-length: {length}\r\n\r\n");
    // Whether it is sent or only announced.
    for body in [&[][..], &vec![b'x'; length]] {
        let mut connection = sandboxd.connect();
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(body).unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
    let request = b"POST /exec HTTP/1.1\r\nhost: sandbox\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut connection = sandboxd.connect();
    connection.write_all(request).unwrap();
    write!(connection, "{length:x}\r\n").unwrap();
    connection.write_all(&vec![b'x'; length]).unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn activity_counts_what_runs_and_what_is_attached() {
    let sandboxd = Sandboxd::start();
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", "echo started; sleep 1"]}));
    stream.wait_for("started");
    let activity = sandboxd.activity();
    assert_eq!(
        (activity.commands, activity.requests, activity.idle_ms),
        (1, 1, 0)
    );
    stream.rest();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let activity = sandboxd.activity();
    assert!(
        !activity.is_busy() && activity.idle_ms >= 50 && activity.uptime_ms > activity.idle_ms,
        "{activity:?}"
    );
}
