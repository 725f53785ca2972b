//! JSON bodies, as clients write them.

use futures_util::stream;
use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use sandbar_tests::sse::Events;
use serde_json::{Value, json};

use crate::sandbox;

const BYTE_ORDER_MARK: &str = "\u{feff}";

#[tokio::test]
async fn a_byte_order_mark_is_taken() {
    let sandbox = sandbox().await;
    let marked = |body: Value| format!("{BYTE_ORDER_MARK}{body}");
    let exec = post(&sandbox, "/exec", marked(json!({ "argv": ["echo", "a"] }))).await;
    assert_eq!(Events::new(exec.bytes_stream()).finish().await.text(), "a\n");
    let session = post(&sandbox, "/session", marked(json!({ "id": "s" }))).await;
    assert_eq!(session.status(), 200);
    let alone = post(&sandbox, "/session", BYTE_ORDER_MARK.to_owned()).await;
    assert_error(alone, 400, "invalid_request").await;
    let unmount = marked(json!({ "mountPath": "mnt" }));
    let text = assert_error(post(&sandbox, "/unmount", unmount).await, 400, "invalid_request").await;
    assert!(text.contains("mountPath"), "{text}");
    let mount = marked(json!({ "bucket": "b", "mountPath": "mnt" }));
    let text = assert_error(post(&sandbox, "/mount", mount).await, 400, "invalid_request").await;
    assert!(text.contains("mountPath"), "{text}");
    let tunnel = marked(json!({ "name": "not a name" }));
    let text = assert_error(
        post(&sandbox, "/tunnel/8080", tunnel).await,
        400,
        "invalid_request",
    )
    .await;
    assert!(!text.contains("JSON"), "{text}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_large_body_arrives_as_it_was_sent() {
    const LENGTH: usize = 11_500_000;
    let sandbox = sandbox().await;
    // Escapes in every form, which the check of the body must not trip over.
    let text = "\\/\\u0061\\\\\\\"\\n".repeat(LENGTH / 5);
    let body = format!(r#"{{"argv":["sh","-c","wc -c; echo $A"],"env":{{"A":"\u0061"}},"stdin":"{text}"}}"#);
    assert!(body.len() < 32 << 20 && body.len() > 30 << 20, "{}", body.len());
    let pieces: Vec<_> = body.as_bytes().chunks(100_000).map(<[u8]>::to_vec).collect();
    let chunked = reqwest::Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
    for body in [reqwest::Body::from(body), chunked] {
        let response = post(&sandbox, "/exec", body).await;
        assert_eq!(response.status(), 200);
        let finished = Events::new(response.bytes_stream()).finish().await;
        assert_eq!(finished.text(), format!("{LENGTH}\na\n"));
    }
    sandbox.destroy().await;
}

async fn post(sandbox: &Sandbox, rest: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    let request = sandbox.request(Method::POST, rest).body(body);
    request.send().await.unwrap()
}
