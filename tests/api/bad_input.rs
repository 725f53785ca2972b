//! Malformed exec bodies: a clear JSON error, and the sandbox keeps working.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use serde_json::json;

use crate::sandbox;

#[tokio::test]
async fn every_bad_exec_body_names_what_is_wrong() {
    let sandbox = sandbox().await;
    for (body, status, word) in [
        ("", 400, "Invalid JSON body"),
        ("{", 400, "Invalid JSON body"),
        ("\"text\"", 400, "Invalid JSON body"),
        ("{}", 400, "argv must be a non-empty array"),
        (r#"{"argv":[]}"#, 400, "argv must be a non-empty array"),
        (r#"{"argv":"ls"}"#, 400, "argv must be a non-empty array"),
        (r#"{"argv":[1]}"#, 400, "argv[0]"),
        (r#"{"argv":["a\u0000b"]}"#, 400, "NUL"),
        (r#"{"argv":["true"],"timeout_ms":0}"#, 400, "timeout_ms"),
        (r#"{"argv":["true"],"timeout_ms":"1"}"#, 400, "timeout_ms"),
        (r#"{"argv":["true"],"timeout_ms":-1}"#, 400, "timeout_ms"),
        (r#"{"argv":["true"],"cwd":1}"#, 400, "cwd"),
        (r#"{"argv":["true"],"cwd":"/etc"}"#, 403, "within /workspace"),
        (
            r#"{"argv":["true"],"cwd":"/workspace/../etc"}"#,
            403,
            "within /workspace",
        ),
        (r#"{"argv":["true"],"cwd":"missing"}"#, 400, "cwd"),
        (r#"{"argv":["true"],"env":[]}"#, 400, "env"),
        (r#"{"argv":["true"],"env":{"A":1}}"#, 400, "env.A"),
        (r#"{"argv":["true"],"stdin":1}"#, 400, "stdin"),
        (r#"{"argv":["true"],"stdin":{"base64":"*"}}"#, 400, "stdin.base64"),
        (r#"{"argv":["true"],"detached":1}"#, 400, "detached"),
    ] {
        let request = sandbox
            .request(Method::POST, "/exec")
            .header("content-type", "application/json")
            .body(body);
        let text = assert_error(request.send().await.unwrap(), status, "invalid_request").await;
        assert!(text.contains(word), "{body}: {text}");
    }
    sandbox.put("workspace/file", "x").await;
    let in_a_file = sandbox
        .exec_json(&json!({ "argv": ["true"], "cwd": "file" }))
        .await;
    assert!(
        assert_error(in_a_file, 400, "invalid_request")
            .await
            .contains("cwd")
    );
    let unknown = sandbox
        .exec(&json!({ "argv": ["true"], "unknown": { "a": [1] }, "timeout_ms": null }))
        .await;
    assert_eq!(unknown.code(), 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn bad_bodies_start_nothing() {
    let sandbox = sandbox().await;
    for body in ["{", "{}", r#"{"argv":["true"],"cwd":"/etc"}"#] {
        let response = sandbox
            .request(Method::POST, "/exec")
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(response.status().is_client_error());
    }
    assert_eq!(sandbox.get("etc/passwd").await.status(), 403);
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let sandbox = sandbox().await;
    let body = format!("{{\"argv\":[\"true\"],\"stdin\":\"{}\"}}", "x".repeat(33 << 20));
    let response = sandbox
        .request(Method::POST, "/exec")
        .body(body)
        .send()
        .await
        .unwrap();
    assert!(
        assert_error(response, 413, "payload_too_large")
            .await
            .contains("33554432")
    );
    sandbox.destroy().await;
}
