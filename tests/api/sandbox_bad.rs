//! Settings and queries that are refused.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use serde_json::json;

use crate::sandbox_settings::patch;
use crate::{bridge, client};

#[tokio::test]
async fn wrong_settings_are_refused_and_start_nothing() {
    let client = client();
    let sandbox = client.create().await;
    for body in [
        json!({ "env": { "A=": "1" } }),
        json!({ "env": { "A": 5 } }),
        json!({ "labels": { "a b": "1" } }),
        json!({ "sleepAfter": "soon" }),
        json!({ "maxLifetime": "never" }),
        json!({ "keepAlive": "yes" }),
        json!({ "internet": 0 }),
        json!({ "instance": "huge" }),
        json!({ "name": "" }),
        json!([]),
    ] {
        let created = client.request(Method::POST, "/v1/sandbox").json(&body);
        assert_error(created.send().await.unwrap(), 400, "invalid_request").await;
        assert_error(patch(&sandbox, &body).await, 400, "invalid_request").await;
    }
    let id = client
        .request(Method::POST, "/v1/sandbox")
        .json(&json!({ "id": "A" }));
    assert_error(id.send().await.unwrap(), 400, "invalid_request").await;
    let large = json!({ "env": { "A": "x".repeat(300 * 1024) } });
    assert_error(patch(&sandbox, &large).await, 413, "payload_too_large").await;
    let too_large = json!({ "env": { "A": "x".repeat(65 * 1024) } });
    assert_error(patch(&sandbox, &too_large).await, 400, "invalid_request").await;
    let unused = sandbox.request(Method::GET, "").send().await.unwrap();
    assert_error(unused, 404, "sandbox_not_found").await;
    if bridge().is_local {
        for body in [json!({ "image": "other" }), json!({ "instance": "lite" })] {
            let created = client.request(Method::POST, "/v1/sandbox").json(&body);
            let text = assert_error(created.send().await.unwrap(), 501, "not_supported").await;
            assert!(text.contains("image and instance"), "{text}");
        }
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn wrong_queries_are_refused() {
    let client = client();
    for query in [
        "label=x",
        "label=:x",
        "state=asleep",
        "limit=0",
        "limit=1001",
        "cursor=x",
        "label=%ff:x",
    ] {
        let request = client.request(Method::GET, &format!("/v1/sandbox?{query}"));
        assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
    }
}
