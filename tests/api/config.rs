//! Deployments that are set up differently, or wrongly. Each test starts a bridge of its own.

use std::path::PathBuf;

use reqwest::Method;
use sandbar_tests::bridge::{project_root, wrangler_config};
use sandbar_tests::client::assert_error;
use sandbar_tests::{Bridge, Client, raw};
use serde_json::{Value, json};

#[tokio::test]
async fn without_a_key_only_this_machine_is_let_in() {
    let bridge = Bridge::start_bare(&own_config(), &[]);
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]", 200),
        ("bridge.example.com", 503),
        ("localhost.example.com", 503),
    ] {
        let head = format!("POST /v1/sandbox\nContent-Length: 0\nHost: {host}");
        let (got, body) = raw::send(&bridge, &head, b"").await;
        assert_eq!(got, status, "{host}: {body}");
        assert_eq!(body.contains("not_configured"), status == 503, "{host}: {body}");
    }
    web_pages_are_let_in_from_the_bridge_alone(&bridge).await;
    let client = Client::new(&bridge);
    let text = assert_error(
        client
            .sandbox("abc")
            .exec_json(&json!({ "argv": ["true"] }))
            .await,
        503,
        "not_configured",
    )
    .await;
    assert!(text.contains("SANDBOX_RUNTIME_URL"), "{text}");
}

/// A browser sends posts without a preflight, follows links and opens WebSockets for pages of any
/// origin.
async fn web_pages_are_let_in_from_the_bridge_alone(bridge: &Bridge) {
    let own = format!("Origin: {}", bridge.url);
    for (headers, status) in [
        (own.as_str(), 200),
        ("Sec-Fetch-Site: none", 200),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Origin: https://example.com\nContent-Type: text/plain", 401),
        ("Origin: http://localhost:1", 401),
        ("Origin: null", 401),
        ("Sec-Fetch-Site: cross-site", 401),
        ("Sec-Fetch-Site: same-site", 401),
    ] {
        let head = format!("POST /v1/sandbox\nContent-Length: 0\n{headers}");
        let (got, body) = raw::send(bridge, &head, b"").await;
        assert_eq!(got, status, "{headers}: {body}");
        assert_eq!(
            body.contains("SANDBOX_API_KEY"),
            status == 401,
            "{headers}: {body}"
        );
    }
    let socket = "GET /v1/sandbox/abc/pty\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
                  Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\nOrigin: https://example.com";
    assert_eq!(raw::send(bridge, socket, b"").await.0, 401);
    // A link to the document does nothing.
    let link = "GET /v1/openapi.html\nSec-Fetch-Site: cross-site";
    assert_eq!(raw::send(bridge, link, b"").await.0, 200);
}

#[tokio::test]
async fn a_variable_that_does_not_parse_is_named_at_health() {
    let bridge = Bridge::start_bare(&own_config(), &[("SANDBOX_START_TIMEOUT", "soon")]);
    let client = Client::new(&bridge);
    for path in ["/health", "/v1/sandbox/abc/running"] {
        let text = assert_error(
            client.request(Method::GET, path).send().await.unwrap(),
            503,
            "not_configured",
        )
        .await;
        assert!(
            text.contains("SANDBOX_START_TIMEOUT") && text.contains("soon"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_upload_over_the_limit_is_413_and_leaves_nothing() {
    let bridge = Bridge::start(&[("MAX_UPLOAD_BYTES", "1000")]);
    let sandbox = Client::new(&bridge).create().await;
    assert_eq!(sandbox.put("workspace/f", vec![b'x'; 1000]).await.status(), 200);
    let announced = sandbox.put("workspace/f", vec![b'y'; 1001]).await;
    assert!(
        assert_error(announced, 413, "payload_too_large")
            .await
            .contains("1000")
    );
    let chunks = futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b'z'; 100])));
    let chunked = sandbox
        .put("workspace/f", reqwest::Body::wrap_stream(chunks))
        .await;
    assert_error(chunked, 413, "payload_too_large").await;
    assert_eq!(
        sandbox.sh("ls -A; wc -c < f; tr -d x < f | wc -c").await.text(),
        "f\n1000\n0\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_missing_binding_is_named_at_health() {
    let config = std::env::temp_dir().join(format!("sandbar-no-binding-{}.json", std::process::id()));
    let mut fields = wrangler_config();
    fields
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["durable_objects", "migrations", "containers"].contains(&name.as_str()));
    std::fs::write(&config, fields.to_string()).unwrap();

    let bridge = Bridge::start_bare(&config, &[]);
    let client = Client::new(&bridge);
    let response = client.request(Method::GET, "/health").send().await.unwrap();
    assert_eq!(response.status(), 503);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["ok"], &body["missing"], &body["code"]),
        (
            &json!(false),
            &json!(["Sandbox", "WarmPool", "SandboxIndex"]),
            &json!("not_configured")
        )
    );
    // While the pool is off, a new id is given without any object.
    client.create().await;

    // A list says what is missing in it.
    let list = client.request(Method::GET, "/v1/sandbox").send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let shards: Vec<u32> = (0..16).collect();
    assert_eq!(list, json!({ "sandboxes": [], "incomplete": shards }));
}

fn own_config() -> PathBuf {
    project_root().join("wrangler.jsonc")
}
