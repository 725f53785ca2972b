//! Authentication.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::raw;

use crate::client;

const GUARDED: [(&str, &str); 7] = [
    ("POST", "/v1/sandbox"),
    ("DELETE", "/v1/sandbox/abc"),
    ("POST", "/v1/sandbox/abc/exec"),
    ("GET", "/v1/sandbox/abc/file/workspace/a"),
    ("PUT", "/v1/sandbox/abc/file/workspace/a"),
    ("GET", "/v1/sandbox/abc/pty"),
    ("GET", "/v1/sandbox/abc/running"),
];

#[tokio::test]
async fn no_key_and_wrong_keys_are_401() {
    let client = client();
    if client.bridge.key.is_empty() {
        return;
    }
    let wrong = [
        None,
        Some("Bearer wrong".to_owned()),
        Some(format!("Bearer {}x", client.bridge.key)),
        Some(format!(
            "Bearer {}",
            client.bridge.key.get(1..).unwrap_or_default()
        )),
        Some(format!("Basic {}", client.bridge.key)),
        Some(client.bridge.key.clone()),
        Some("Bearer".to_owned()),
    ];
    for (method, path) in GUARDED {
        for header in &wrong {
            let url = format!("{}{path}", client.bridge.url);
            let mut request = client.http.request(method.parse().unwrap(), url);
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let text = assert_error(request.send().await.unwrap(), 401, "unauthorized").await;
            assert!(text.contains("Unauthorized"));
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_all_of_its_body_before_it_reads_sees_401() {
    let client = client();
    if client.bridge.key.is_empty() || !client.bridge.url.starts_with("http://") {
        return;
    }
    let body = vec![b'x'; 4 << 20];
    let head = format!(
        "PUT /v1/sandbox/abc/file/workspace/f\nAuthorization: Bearer wrong\nContent-Length: {}",
        body.len()
    );
    // Fails when the connection is closed while the body is sent.
    let (status, answer) = raw::send(&client.bridge, &head, &body).await;
    assert_eq!(status, 401, "{answer}");
}

#[tokio::test]
async fn the_scheme_is_taken_in_any_case() {
    let client = client();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = format!("{scheme} {}", client.bridge.key);
        let url = format!("{}/v1/sandbox", client.bridge.url);
        let response = client
            .http
            .request(Method::POST, url)
            .header("authorization", header)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{scheme}");
    }
}
