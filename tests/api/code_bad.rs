//! Requests for code that are refused.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use serde_json::json;

use crate::sandbox;

#[tokio::test]
async fn bad_requests_start_nothing() {
    let sandbox = sandbox().await;
    for body in [
        json!({}),
        json!({ "code": 1 }),
        json!({ "code": "", "context": "a/b" }),
    ] {
        let response = sandbox.post_code(&body).await;
        assert_error(response, 400, "invalid_request").await;
    }
    let response = sandbox.post_code(&json!({ "code": "", "cwd": "/etc" })).await;
    assert_error(response, 403, "invalid_request").await;
    let response = sandbox.post("/context", &json!({ "language": "a b" })).await;
    assert_error(response, 400, "invalid_request").await;
    for (method, rest) in [
        (Method::DELETE, ""),
        (Method::POST, "/interrupt"),
        (Method::POST, "/restart"),
        (Method::GET, "/output/1/image/png"),
    ] {
        let response = sandbox.of_context(method.clone(), "c", rest).await;
        assert_error(response, 404, "context_not_found").await;
        let response = sandbox.of_context(method, "..%2e", rest).await;
        assert_error(response, 400, "invalid_request").await;
    }
    assert!(!sandbox.running().await);
    sandbox.destroy().await;
}

#[tokio::test]
async fn missing_contexts_and_kernels_are_named() {
    let sandbox = sandbox().await;
    let response = sandbox
        .post_code(&json!({ "code": "1", "language": "cobol" }))
        .await;
    let text = assert_error(response, 501, "not_supported").await;
    assert!(text.contains("cobol") && text.contains("python"), "{text}");
    let response = sandbox.post("/context", &json!({ "language": "cobol" })).await;
    assert_error(response, 501, "not_supported").await;
    let response = sandbox.post("/context", &json!({ "cwd": "none" })).await;
    assert_error(response, 400, "invalid_request").await;
    let response = sandbox
        .post_code(&json!({ "code": "1", "context": "none" }))
        .await;
    assert_error(response, 404, "context_not_found").await;
    ok(sandbox.post("/context", &json!({ "id": "c" })).await).await;
    let response = sandbox
        .post("/context", &json!({ "id": "c", "env": { "A": "1" } }))
        .await;
    assert_error(response, 409, "context_exists").await;
    let response = sandbox.of_context(Method::GET, "c", "/output/1/image/png").await;
    assert_error(response, 404, "file_not_found").await;
    let run = json!({ "code": "1", "id": "p", "context": "c" });
    sandbox.run_code(&run).await;
    let response = sandbox
        .post_code(&json!({ "code": "2", "id": "p", "context": "c" }))
        .await;
    assert_error(response, 409, "process_exists").await;
    sandbox.destroy().await;
}
