//! Visitors that were given no address, and addresses that are none.

use std::path::Path;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use sandbar_tests::bridge::project_root;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client, raw};
use serde_json::json;

use crate::port::Server;
use crate::{client, sandbox};

#[tokio::test]
async fn an_address_that_was_not_given_reaches_and_starts_nothing() {
    let (sandbox, other) = (sandbox().await, sandbox().await);
    assert_eq!(sandbox.sh("true").await.code(), 0);
    assert_eq!(other.sh("true").await.code(), 0);
    let body = json!({ "wake": true });
    let preview = sandbox.expose(3000, &body).await;
    let second = sandbox.expose(3001, &body).await;
    let of_other = other.expose(3000, &body).await;
    for sandbox in [&sandbox, &other] {
        let stopped = sandbox.request(Method::POST, "/stop").send().await.unwrap();
        assert_eq!(stopped.status(), 204);
    }
    let host = preview.authority.split_once('.').unwrap().1;
    let (id, token) = (&sandbox.id, preview.token());
    let changed: String = {
        let last = token.chars().last().unwrap();
        let other = if last == 'a' { 'b' } else { 'a' };
        format!("{}{other}", &token[..token.len() - 1])
    };
    let unknown = client().sandbox(&"b".repeat(26));
    for label in [
        // The token of another port, of another sandbox, and one that is changed.
        format!("3000-{id}-{}", second.token()),
        format!("3001-{id}-{token}"),
        format!("3000-{id}-{}", of_other.token()),
        format!("3000-{}-{token}", other.id),
        format!("3000-{}-{token}", unknown.id),
        format!("3000-{id}-{changed}"),
        format!("3000-{id}-a{token}"),
        format!("03000-{id}-{token}"),
        format!("3000-{id}"),
        format!("3000-{id}-"),
        id.clone(),
        "www".to_owned(),
        format!("x.3000-{id}-{token}"),
        format!("3000-{id}-{token}.x"),
    ] {
        let response = preview.at(&format!("{label}.{host}")).get("/x").await;
        assert_error(response, 404, "invalid_token").await;
    }
    for sandbox in [&sandbox, &other, &unknown] {
        assert!(!sandbox.running().await, "{}", sandbox.id);
    }
    let never = unknown.request(Method::GET, "").send().await.unwrap();
    assert_error(never, 404, "sandbox_not_found").await;
    for sandbox in [&sandbox, &other] {
        sandbox.destroy().await;
    }
}

#[tokio::test]
async fn only_the_host_of_the_request_decides_and_it_is_one() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({})).await;
    let bridge = &sandbox.client.bridge;
    let own = bridge.url.strip_prefix("http://").unwrap();
    let authority = &preview.authority;
    let is_of_server = |answer: &str| answer.contains("\"target\"");
    // A preview's name elsewhere makes no preview.
    for head in [
        format!("GET /health\nHost: {own}\nX-Forwarded-Host: {authority}"),
        format!("GET /health\nHost: {own}\nForwarded: host={authority}"),
        format!("GET /health?{authority}\nHost: {own}"),
        format!("GET /{authority}/health\nHost: {own}"),
    ] {
        let (status, answer) = raw::send(bridge, &head, b"").await;
        assert!(!is_of_server(&answer), "{head}: {status} {answer}");
    }
    // The API is not at a preview, whatever else the request says.
    for head in [
        format!("GET /v1/sandbox\nHost: {authority}\nX-Forwarded-Host: {own}"),
        format!("GET /v1/sandbox\nHost: {}", authority.to_uppercase()),
        format!(
            "GET /v1/sandbox\nHost: {}",
            authority.replacen(".localhost", ".localhost.", 1)
        ),
    ] {
        let (status, answer) = raw::send(bridge, &head, b"").await;
        assert!(is_of_server(&answer), "{head}: {status} {answer}");
    }
    // Two hosts, or one in the request line and another in the header: an error, or one of the two
    // alone. A stranger, who has no key, gets nothing of the API by it.
    for head in [
        format!("GET /v1/sandbox\nHost: {own}\nHost: {authority}\nAuthorization: none"),
        format!("GET /v1/sandbox\nHost: {authority}\nHost: {own}\nAuthorization: none"),
        format!("GET http://{authority}/v1/sandbox\nHost: localhost\nAuthorization: none"),
        format!("GET http://{own}/v1/sandbox\nHost: {authority}\nAuthorization: none"),
    ] {
        let (status, answer) = raw::send(bridge, &head, b"").await;
        assert!(
            status >= 400 || status == 0 || is_of_server(&answer) || bridge.key.is_empty(),
            "{head}: {status} {answer}"
        );
    }
    // A spoofed `X-Forwarded-Host` is replaced.
    let request = preview
        .request(Method::GET, "/")
        .header("X-Forwarded-Host", "evil.example.com");
    let seen = ok(request.send().await.unwrap()).await.to_string();
    assert!(!seen.contains("evil.example.com"), "{seen}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_page_of_a_preview_cannot_call_the_api_of_a_bridge_without_a_key() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({})).await;
    let request = client()
        .request(Method::GET, "/v1/sandbox")
        .header("Origin", format!("http://{}", preview.authority))
        .header("Sec-Fetch-Site", "same-site");
    let response = request.send().await.unwrap();
    let has_key = !client().bridge.key.is_empty();
    assert_eq!(response.status(), if has_key { 200 } else { 401 });
    // No header lets the page read the answer.
    assert_eq!(response.headers().get("access-control-allow-origin"), None);
    sandbox.destroy().await;
}

/// The number of databases in a directory and in those below it. Their logs come and go.
fn count_databases(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let counts = entries.map(|entry| {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => count_databases(&entry.path()),
            false => usize::from(
                entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "sqlite"),
            ),
        }
    });
    counts.sum()
}

#[tokio::test]
async fn two_thousand_invented_addresses_make_no_object() {
    // Of its own, as the objects of other tests would be counted. The storage of an object is a file.
    let client = Client::new(&Bridge::start(&[]));
    let port = client.bridge.url.rsplit(':').next().unwrap();
    let state = project_root().join(format!(".wrangler/session-{port}"));
    let sandbox = client.create().await;
    assert_eq!(sandbox.sh("true").await.code(), 0);
    let preview = sandbox.expose(3000, &json!({})).await;
    let host = preview.authority.split_once('.').unwrap().1;
    let (token_id, mac) = preview.token().split_once('-').unwrap();
    let before = count_databases(&state);
    let visits = stream::iter(0..2000).map(|n| {
        let invented = preview.at(&format!("3000-invented{n:018}-{token_id}-{mac}.{host}"));
        async move { assert_error(invented.get("/").await, 404, "invalid_token").await }
    });
    visits.buffer_unordered(64).for_each(async |_| ()).await;
    assert_eq!(count_databases(&state), before);
    // An object that is asked has a file.
    assert_eq!(client.create().await.sh("true").await.code(), 0);
    assert!(count_databases(&state) > before);
}
