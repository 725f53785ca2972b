//! A bridge with an R2 bucket, as the runtime simulates it, and the token that the s3fs of its
//! sandboxes sends.

use std::path::PathBuf;
use std::sync::OnceLock;

use reqwest::{Method, RequestBuilder};
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::bucket::{Setting, assert_ok};

/// The binding of each bridge's own bucket.
pub const BINDING: &str = "BUCKET";

/// A new sandbox of a bridge that the tests share.
pub async fn setting() -> Option<Setting> {
    static BRIDGE: OnceLock<(Bridge, PathBuf)> = OnceLock::new();
    let (bridge, _) = BRIDGE.get_or_init(|| Bridge::start_with_buckets(&[BINDING], &[]));
    Setting::new_in(Client::new(bridge).create().await).await
}

/// Mounts the bucket, which must work.
pub async fn mounted(setting: &Setting, path: &str, options: Value) {
    let body = json!({ "binding": BINDING, "mountPath": path, "options": options });
    assert_ok(setting.sandbox.post("/mount", &body).await).await;
}

/// Runs `mount` and finds the token of that mount: on the local runtime commands run as the user of
/// `sandboxd`, and the file with the token exists while s3fs starts.
pub async fn token<F: Future<Output = ()>>(sandbox: &Sandbox, mount: F) -> String {
    let script = "echo looking; until cat /run/sandboxd-mount-*/key 2>/dev/null; do :; done";
    let script = json!({ "argv": ["sh", "-c", script], "timeout_ms": 30_000 });
    let mut events = sandbox.stream(&script).await;
    events.next().await.unwrap().unwrap();
    mount.await;
    let seen = events.finish().await;
    let seen = seen.text();
    let token = seen.trim().rsplit(['\n', ':']).next().unwrap_or_default();
    assert_eq!(token.len(), 84, "{seen}");
    token.to_owned()
}

/// A request with `token` to the sandbox's S3. `at` is the rest of the path after the bucket.
pub fn s3(sandbox: &Sandbox, token: &str, method: Method, at: &str) -> RequestBuilder {
    let client = &sandbox.client;
    let url = format!(
        "{}/v1/sandbox/{}/s3/mounted-bucket{at}",
        client.bridge.url, sandbox.id
    );
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={token}/20261121/auto/s3/aws4_request, SignedHeaders=host, Signature=0"
    );
    client
        .http
        .request(method, url)
        .header("authorization", authorization)
}

/// Status and body of the answer.
pub async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Asserts that the answer is the error of S3 with this status and code.
pub async fn assert_refused(request: RequestBuilder, status: u16, code: &str) {
    let debug = format!("{request:?}");
    let (found, text) = answer(request).await;
    assert_eq!(found, status, "{debug}: {text}");
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{debug}: {text}");
}
