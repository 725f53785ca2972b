//! Ports and tokens, and waits for a port.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::{Client, Sandbox, raw};
use serde_json::{Value, json};

use crate::port::{Server, free_port};
use crate::{client, sandbox};

#[tokio::test]
async fn a_wait_ends_when_a_process_listens_and_answers() {
    let sandbox = sandbox().await;
    let port = free_port(&sandbox).await;
    let wait = async |body: Value| {
        let response = sandbox.post(&format!("/port/{port}/wait"), &body).await;
        ok(response).await
    };
    assert_eq!(
        wait(json!({ "timeout_ms": 200 })).await,
        json!({ "state": "timed_out" })
    );
    let script = format!("sleep 0.5; exec python3 -m http.server --bind 127.0.0.1 {port}");
    let process = sandbox.start_sh(&script).await;
    let (ready, answers) = tokio::join!(
        wait(json!({ "timeout_ms": 60_000 })),
        wait(json!({ "path": "/", "timeout_ms": 60_000 }))
    );
    assert_eq!(ready, json!({ "state": "ready" }));
    assert_eq!(answers, json!({ "state": "ready", "status": 200 }));
    let missing = json!({ "path": "/missing", "status": 404, "timeout_ms": 60_000 });
    assert_eq!(wait(missing).await, json!({ "state": "ready", "status": 404 }));
    let other = json!({ "path": "/missing", "timeout_ms": 300 });
    assert_eq!(wait(other).await, json!({ "state": "timed_out" }));
    process.end().await;
    for wrong in [
        json!({ "status": 200 }),
        json!({ "path": "x" }),
        json!({ "timeout_ms": 0 }),
    ] {
        let response = sandbox.post(&format!("/port/{port}/wait"), &wrong).await;
        assert_error(response, 400, "invalid_request").await;
    }
    sandbox.destroy().await;
}

/// A client with a token for this sandbox.
async fn with_token(sandbox: &Sandbox, scopes: &[&str]) -> Sandbox {
    let body = json!({ "sandbox": sandbox.id, "scopes": scopes, "expiresIn": "10m" });
    let created = sandbox.client.request(Method::POST, "/v1/token").json(&body);
    let created = ok(created.send().await.unwrap()).await;
    let mut client: Client = sandbox.client.clone();
    created["token"]
        .as_str()
        .unwrap()
        .clone_into(&mut client.bridge.key);
    client.sandbox(&sandbox.id)
}

#[tokio::test]
async fn a_token_of_the_scope_ports_reaches_servers_and_nothing_else() {
    if client().bridge.key.is_empty() {
        return;
    }
    let sandbox = sandbox().await;
    let mut server = Server::start(&sandbox, "127.0.0.1").await;
    let others = ["exec", "files:read", "files:write", "manage"];
    server.sandbox = with_token(&sandbox, &others).await;
    let text = assert_error(server.get("/x").await, 403, "forbidden").await;
    assert!(text.contains("ports"), "{text}");
    server.sandbox = with_token(&sandbox, &["ports"]).await;
    let seen = server.seen(server.request(Method::GET, "/x")).await;
    let own = server.sandbox.client.bridge.clone();
    assert!(!seen.to_string().contains(&own.key), "{seen}");
    // A path cannot lead out of the port.
    let body = br#"{"argv":["touch","/tmp/reached-by-path"]}"#;
    for dots in ["..", "%2e%2e", ".%2E", "..%2f..", "x/../.."] {
        let path = format!(
            "/v1/sandbox/{}/port/{}/{dots}/{dots}/exec",
            sandbox.id, server.port
        );
        let head = format!(
            "POST {path}\nContent-Type: application/json\nContent-Length: {}",
            body.len()
        );
        let (status, answer) = raw::send(&own, &head, body).await;
        assert!(
            status != 200 || answer.contains("\"target\""),
            "{dots}: {status} {answer}"
        );
    }
    let found = sandbox.sh("ls /tmp/reached-by-path").await;
    assert_ne!(found.code(), 0);
    sandbox.destroy().await;
}
