//! Malformed requests for sessions.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use serde_json::json;

use crate::sandbox;
use crate::session::{create, delete};

#[tokio::test]
async fn bad_input_is_refused_before_a_sandbox_is_woken() {
    let sandbox = sandbox().await;
    for bad in ["a b", "a..b", "a/b", "\u{e9}", &"a".repeat(129), ""] {
        let value = reqwest::header::HeaderValue::from_bytes(bad.as_bytes()).unwrap();
        for (method, rest) in [
            (Method::POST, "/exec"),
            (Method::GET, "/file/workspace/a"),
            (Method::HEAD, "/file/workspace/a"),
            (Method::PUT, "/file/workspace/a"),
        ] {
            let request = sandbox
                .request(method.clone(), rest)
                .header("Session-Id", value.clone());
            let response = request.body(r#"{"argv":["true"]}"#).send().await.unwrap();
            if method == Method::HEAD {
                assert_eq!(response.status(), 400, "{bad:?} {rest}");
            } else {
                assert_error(response, 400, "invalid_request").await;
            }
        }
    }
    for (body, status, word) in [
        ("{", 400, "Invalid JSON body"),
        ("[]", 400, "Invalid JSON body"),
        (r#"{"id":7}"#, 400, "id must be a string"),
        (r#"{"id":"a..b"}"#, 400, "Invalid session ID format"),
        (r#"{"cwd":7}"#, 400, "cwd must be a string"),
        (r#"{"env":{"A":null}}"#, 400, "env.A"),
        (r#"{"env":{"A=B":"c"}}"#, 400, "env"),
    ] {
        let request = sandbox.request(Method::POST, "/session").body(body);
        let text = assert_error(request.send().await.unwrap(), status, "invalid_request").await;
        assert!(text.contains(word), "{body}: {text}");
    }
    let large = json!({"env": {"A": "x".repeat(2 << 20)}});
    assert_error(create(&sandbox, &large).await, 413, "payload_too_large").await;
    for id in ["a%20b", "a..b", &"a".repeat(129)] {
        assert_error(delete(&sandbox, id).await, 400, "invalid_request").await;
    }
    let wrong = sandbox.request(Method::GET, "/session").send().await.unwrap();
    assert_eq!(wrong.headers()["allow"], "POST");
    assert_error(wrong, 405, "method_not_allowed").await;
    assert!(!sandbox.running().await);
    let missing = create(&sandbox, &json!({"cwd": "/nowhere"})).await;
    assert!(
        assert_error(missing, 400, "invalid_request")
            .await
            .contains("cwd")
    );
    sandbox.destroy().await;
}
