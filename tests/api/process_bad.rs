//! Malformed requests for processes.

use reqwest::{Method, Response};
use sandbar_tests::Process;
use sandbar_tests::client::assert_error;
use serde_json::{Value, json};

use crate::sandbox;

async fn post(process: &Process, rest: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = process.request(Method::POST, rest).body(body);
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_bad_start_is_refused_before_a_sandbox_is_woken() {
    let sandbox = sandbox().await;
    for route in ["/process", "/exec"] {
        for (body, word) in [
            ("", "Invalid JSON body"),
            ("[]", "Invalid JSON body"),
            ("{}", "argv"),
            (r#"{"argv":["true"],"command":"true"}"#, "command"),
            (r#"{"command":7}"#, "command must be a string"),
            (r#"{"command":"a\u0000b"}"#, "NUL"),
            (r#"{"argv":["true"],"id":7}"#, "id must be a string"),
            (r#"{"argv":["true"],"id":""}"#, "Invalid process ID format"),
            (r#"{"argv":["true"],"id":"a/b"}"#, "Invalid process ID format"),
            (r#"{"argv":["true"],"id":"a..b"}"#, "Invalid process ID format"),
            (
                r#"{"argv":["true"],"replace":"yes"}"#,
                "replace must be a boolean",
            ),
            (
                r#"{"argv":["true"],"stdin_open":1}"#,
                "stdin_open must be a boolean",
            ),
            (
                r#"{"argv":["true"],"keep_awake":0}"#,
                "keep_awake must be a boolean",
            ),
            (
                r#"{"argv":["true"],"log_bytes":-1}"#,
                "log_bytes must be a whole number",
            ),
            (
                r#"{"argv":["true"],"log_bytes":1e9}"#,
                "log_bytes must be a whole number",
            ),
            (
                r#"{"argv":["true"],"linger_ms":1.5}"#,
                "linger_ms must be a whole number",
            ),
            (r#"{"argv":["true"],"timeout_ms":0}"#, "timeout_ms"),
        ] {
            let request = sandbox.request(Method::POST, route).body(body);
            let text = assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
            assert!(text.contains(word), "{route} {body}: {text}");
        }
        let outside = json!({ "argv": ["true"], "cwd": "../.." });
        assert_error(sandbox.post(route, &outside).await, 403, "invalid_request").await;
    }
    let long = json!({ "argv": ["true"], "id": "a".repeat(129) });
    assert_error(sandbox.post("/process", &long).await, 400, "invalid_request").await;
    assert!(!sandbox.running().await);
    sandbox.destroy().await;
}

#[tokio::test]
async fn only_the_stream_of_a_process_with_an_id_can_be_continued() {
    let sandbox = sandbox().await;
    let exec = |last: &str, body: Value| {
        let request = sandbox.request(Method::POST, "/exec");
        request.header("Last-Event-ID", last).json(&body).send()
    };
    for last in ["-1", "x", "1.5"] {
        let response = exec(last, json!({ "argv": ["true"], "id": "a" })).await.unwrap();
        let text = assert_error(response, 400, "invalid_request").await;
        assert!(text.contains("Last-Event-ID"), "{text}");
        // Without an id, it is a header like any other.
        let response = exec(last, json!({ "argv": ["true"] })).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let response = exec("1", json!({ "argv": ["true"], "id": "a" })).await.unwrap();
    assert_error(response, 404, "process_not_found").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_id_of_another_form_names_no_process() {
    let sandbox = sandbox().await;
    for id in ["a%2Fb", "a%20b", "a..b", "%C3%A9", "a%00b", &"a".repeat(129)] {
        let process = sandbox.process(id);
        for (method, rest) in [
            (Method::GET, ""),
            (Method::GET, "/log"),
            (Method::GET, "/attach"),
            (Method::DELETE, ""),
            (Method::POST, "/stdin"),
            (Method::POST, "/signal"),
            (Method::POST, "/wait"),
        ] {
            let response = process.request(method, rest).send().await.unwrap();
            assert_error(response, 400, "invalid_request").await;
        }
    }
    assert!(!sandbox.running().await);
    sandbox.destroy().await;
}

#[tokio::test]
async fn wrong_paths_and_methods_are_refused() {
    let sandbox = sandbox().await;
    for (method, rest, allow) in [
        (Method::PUT, "/process", "GET, DELETE, POST"),
        (Method::POST, "/process/p", "GET, DELETE"),
        (Method::POST, "/process/p/log", "GET"),
        (Method::POST, "/process/p/attach", "GET"),
        (Method::GET, "/process/p/stdin", "POST"),
        (Method::GET, "/process/p/signal", "POST"),
        (Method::GET, "/process/p/wait", "POST"),
    ] {
        let response = sandbox.request(method, rest).send().await.unwrap();
        let mut methods: Vec<_> = response.headers()["allow"]
            .to_str()
            .unwrap()
            .split(", ")
            .collect();
        let mut expected: Vec<_> = allow.split(", ").collect();
        methods.retain(|method| *method != "HEAD");
        methods.sort_unstable();
        expected.sort_unstable();
        assert_eq!(methods, expected, "{rest}");
        assert_error(response, 405, "method_not_allowed").await;
    }
    for rest in ["/process/p/other", "/process/p/log/x", "/process/p/"] {
        let response = sandbox.request(Method::GET, rest).send().await.unwrap();
        assert!([400, 404].contains(&response.status().as_u16()), "{rest}");
    }
    assert!(!sandbox.running().await);
    sandbox.destroy().await;
}

#[tokio::test]
async fn bad_input_for_a_process_is_refused_and_changes_nothing() {
    let sandbox = sandbox().await;
    let process = sandbox
        .start(&json!({ "argv": ["cat"], "stdin_open": true }))
        .await;
    let log = |pattern: &str| json!({ "for": "log", "pattern": pattern }).to_string();
    for (rest, body, word) in [
        ("/signal", "{".to_owned(), "Invalid JSON body"),
        ("/signal", "{}".to_owned(), "signal"),
        ("/signal", r#"{"signal":"SIGNOTHING"}"#.to_owned(), "signal"),
        ("/signal", r#"{"signal":"sigterm"}"#.to_owned(), "signal"),
        ("/signal", r#"{"signal":""}"#.to_owned(), "signal"),
        ("/signal", r#"{"signal":0}"#.to_owned(), "signal"),
        ("/signal", r#"{"signal":-9}"#.to_owned(), "signal"),
        ("/signal", r#"{"signal":65}"#.to_owned(), "signal"),
        ("/signal", r#"{"signal":32}"#.to_owned(), "signal"),
        ("/signal", r#"{"signal":1e300}"#.to_owned(), "signal"),
        ("/wait", "".to_owned(), "Invalid JSON body"),
        ("/wait", "{}".to_owned(), "for must be"),
        ("/wait", r#"{"for":"rain"}"#.to_owned(), "for must be"),
        ("/wait", r#"{"for":["exit"]}"#.to_owned(), "for must be"),
        (
            "/wait",
            r#"{"for":"exit","timeout_ms":0}"#.to_owned(),
            "timeout_ms",
        ),
        (
            "/wait",
            r#"{"for":"exit","timeout_ms":-1}"#.to_owned(),
            "timeout_ms",
        ),
        ("/wait", r#"{"for":"port"}"#.to_owned(), "port"),
        ("/wait", r#"{"for":"port","port":0}"#.to_owned(), "port"),
        ("/wait", r#"{"for":"port","port":65536}"#.to_owned(), "port"),
        ("/wait", r#"{"for":"port","port":"80"}"#.to_owned(), "port"),
        (
            "/wait",
            r#"{"for":"port","port":80,"path":"x"}"#.to_owned(),
            "path",
        ),
        (
            "/wait",
            r#"{"for":"port","port":80,"path":"/ \r\n"}"#.to_owned(),
            "path",
        ),
        (
            "/wait",
            r#"{"for":"port","port":80,"status":200}"#.to_owned(),
            "status",
        ),
        (
            "/wait",
            r#"{"for":"port","port":80,"path":"/","status":99}"#.to_owned(),
            "status",
        ),
        ("/wait", r#"{"for":"log"}"#.to_owned(), "pattern"),
        ("/wait", r#"{"for":"log","pattern":7}"#.to_owned(), "pattern"),
        (
            "/wait",
            r#"{"for":"log","pattern":"a","stream":"both"}"#.to_owned(),
            "stream",
        ),
        ("/wait", log("ab(c"), "ab(c"),
        ("/wait", log("a{2,1}"), "a{2,1}"),
        ("/wait", log(r"\p{Nothing}"), "pattern"),
        ("/wait", log(r"(a)\1"), "pattern"),
        ("/wait", log("(((a{1000}){1000}){1000})"), "pattern"),
        ("/wait", log(&"a".repeat(5000)), "pattern"),
    ] {
        let text = assert_error(post(&process, rest, body.clone()).await, 400, "invalid_request").await;
        assert!(text.contains(word), "{rest} {body}: {text}");
    }
    // The position of what is wrong with a pattern.
    let text = assert_error(post(&process, "/wait", log("ab(c")).await, 400, "invalid_request").await;
    assert!(text.contains("  ^") || text.contains(" 2"), "{text}");
    let large = post(&process, "/wait", log(&"a".repeat(1 << 20))).await;
    let status = large.status().as_u16();
    assert!([400, 413].contains(&status), "{status}");
    for offset in ["-1", "x", "", "1.5", "99999999999999999999999"] {
        let request = process
            .request(Method::POST, "/stdin")
            .header("Stdin-Offset", offset);
        let text = assert_error(request.body("x").send().await.unwrap(), 400, "invalid_request").await;
        assert!(text.contains("Stdin-Offset"), "{text}");
    }
    for (method, rest, word) in [
        (Method::POST, "/stdin?close=maybe", "close"),
        (Method::GET, "/log?follow=maybe", "follow"),
        (Method::GET, "/log?since=-1", "since"),
        (Method::GET, "/log?since=x", "since"),
        (Method::GET, "/log?stream=stdin", "stream"),
        (Method::DELETE, "?grace_ms=-1", "grace_ms"),
        (Method::DELETE, "?grace_ms=9999999", "grace_ms"),
    ] {
        let response = process.request(method, rest).send().await.unwrap();
        let text = assert_error(response, 400, "invalid_request").await;
        assert!(text.contains(word), "{rest}: {text}");
    }
    for rest in ["?state=ended", "?limit=0", "?limit=1001", "?limit=x", "?cursor=x"] {
        let response = sandbox.request(Method::GET, &format!("/process{rest}"));
        assert_error(response.send().await.unwrap(), 400, "invalid_request").await;
    }
    let all = sandbox.request(Method::DELETE, "/process?grace_ms=x");
    assert_error(all.send().await.unwrap(), 400, "invalid_request").await;
    let record = process.show().await;
    assert_eq!(
        (&record["state"], &record["stdoutBytes"]),
        (&json!("running"), &json!(0))
    );
    let offset: Value = process
        .stdin("", Some(0), "?close=true")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(offset, json!({ "offset": 0 }));
    assert_eq!(process.exit().await, json!({ "exit_code": 0 }));
    sandbox.destroy().await;
}
