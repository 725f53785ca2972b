//! The paths that exist, those that do not, and their errors.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use serde_json::{Value, json};

use crate::{client, sandbox};

#[tokio::test]
async fn health_needs_no_key() {
    let client = client();
    let response = client
        .http
        .get(format!("{}/health", client.bridge.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "ok": true }));
    let head = client
        .http
        .head(format!("{}/health", client.bridge.url))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn create_gives_a_fresh_well_formed_id_and_takes_any_body() {
    let client = client();
    let (a, b) = (client.create().await.id, client.create().await.id);
    assert_ne!(a, b);
    for id in [&a, &b] {
        assert_eq!(id.len(), 26);
        assert!(
            id.chars()
                .all(|c| c.is_ascii_lowercase() || ('2'..='7').contains(&c)),
            "{id}"
        );
    }
    let with_body = client
        .request(Method::POST, "/v1/sandbox")
        .json(&json!({ "exposedPorts": [1], "timeoutMs": 1, "n": 1 }));
    assert_eq!(with_body.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn unknown_routes_are_json_404() {
    let client = client();
    for path in [
        "/",
        "/sandbox",
        "/sandbox/abc/exec",
        "/v1",
        "/v1/other",
        "/v1/sandbox/abc/nothing",
        "/v1/sandbox/abc/exec/x",
    ] {
        let response = client.request(Method::GET, path).send().await.unwrap();
        assert_error(response, 404, "not_found").await;
    }
}

#[tokio::test]
async fn wrong_methods_are_json_405_with_allow() {
    let client = client();
    for (method, path, allow) in [
        (Method::POST, "/health", "GET, HEAD"),
        (Method::PUT, "/v1/sandbox", "POST, GET"),
        (Method::POST, "/v1/sandbox/abc", "GET, PATCH, DELETE"),
        (Method::GET, "/v1/sandbox/abc/exec", "POST"),
        (Method::POST, "/v1/sandbox/abc/running", "GET"),
        (Method::GET, "/v1/mcp", "POST"),
        (Method::DELETE, "/v1/mcp", "POST"),
        (Method::GET, "/v1/sandbox/abc/mcp", "POST"),
        (Method::DELETE, "/v1/sandbox/abc/mcp", "POST"),
        (
            Method::POST,
            "/v1/sandbox/abc/file/workspace/a",
            "GET, HEAD, PUT, DELETE, PATCH",
        ),
    ] {
        let response = client.request(method, path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], allow, "{path}");
        assert_error(response, 405, "method_not_allowed").await;
    }
}

#[tokio::test]
async fn a_bad_id_is_400_before_the_key_is_checked() {
    let client = client();
    for id in ["ABC", "a-b", "a1", "a%20b", &"a".repeat(129)] {
        for path in [format!("/v1/sandbox/{id}/exec"), format!("/v1/sandbox/{id}")] {
            let response = client
                .http
                .post(format!("{}{path}", client.bridge.url))
                .send()
                .await
                .unwrap();
            let text = assert_error(response, 400, "invalid_request").await;
            assert!(text.contains("Invalid sandbox ID format"), "{text}");
        }
    }
}

#[tokio::test]
async fn an_id_of_128_characters_works_though_nobody_created_it() {
    let random = client().create().await.id;
    let sandbox = client().sandbox(&format!("{random}{}", "a".repeat(128 - random.len())));
    assert_eq!(sandbox.sh("echo works").await.text(), "works\n");
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn responses_from_the_sandbox_carry_its_boot_id() {
    let sandbox = sandbox().await;
    let boot = sandbox.boot_id().await;
    assert!(!boot.is_empty());
    let missing = sandbox.get("workspace/missing").await;
    assert_eq!(missing.headers()["sandbox-boot-id"].to_str().unwrap(), boot);
    sandbox.destroy().await;
}
