//! Exposed ports at addresses of their own.

use reqwest::Method;
use sandbar_tests::bridge::Bridge;
use sandbar_tests::client::assert_error;
use sandbar_tests::preview::Preview;
use sandbar_tests::process::{ok, text};
use sandbar_tests::{Client, Sandbox};
use serde_json::{Value, json};

use crate::port::{Server, free_port};
use crate::port_socket::{connect, frame};
use crate::{client, eventually, sandbox};

/// The exposed ports in the list.
async fn exposed(sandbox: &Sandbox) -> Vec<Value> {
    let list = sandbox.request(Method::GET, "/port").send().await.unwrap();
    let list = ok(list).await;
    let ports = list["ports"].as_array().unwrap().iter();
    ports.filter(|port| port["url"].is_string()).cloned().collect()
}

/// Asserts that nothing is at an address, and that nothing of a server answered.
async fn assert_gone(preview: &Preview) {
    let response = preview.get("/").await;
    assert_eq!(response.headers()["sandbox-error"], "invalid_token");
    assert_error(response, 404, "invalid_token").await;
}

#[tokio::test]
async fn every_path_of_an_address_is_the_server_s() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({ "name": "site" })).await;
    let expected = format!("{}-{}-{}", server.port, sandbox.id, preview.token());
    assert!(
        preview.authority.starts_with(&format!("{expected}.localhost")),
        "{}",
        preview.answer
    );
    for target in [
        "/",
        "/v1/sandbox",
        "/health",
        "/v1/openapi.json?token=x",
        "/a%2Fb/%C3%BC//c?d=%2F&e",
    ] {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
            let request = preview.request(method.parse().unwrap(), target);
            let seen = ok(request
                .header("Authorization", "Basic dTpw")
                .header("X-Forwarded-Prefix", "//elsewhere.example")
                .send()
                .await
                .unwrap())
            .await;
            assert_eq!(
                (&seen["method"], &seen["target"]),
                (&json!(method), &json!(target))
            );
            let headers = seen["headers"].as_array().unwrap();
            let value = |name: &str| {
                let found = headers.iter().find(|header| header[0] == name);
                found.map(|header| header[1].as_str().unwrap())
            };
            assert_eq!(value("host"), Some(format!("localhost:{}", server.port).as_str()));
            assert_eq!(value("x-forwarded-host"), Some(preview.authority.as_str()));
            assert_eq!(value("x-forwarded-prefix"), None);
            // The server's own authorization arrives, and nothing of Sandbar.
            assert_eq!(value("authorization"), Some("Basic dTpw"));
            let of_sandbar = |header: &&Value| header[0].as_str().unwrap().starts_with("sandbox-");
            assert_eq!(headers.iter().find(of_sandbar), None);
        }
    }
    // A client that sends the key by mistake gives it to no server.
    let key = format!("Bearer {}", sandbox.client.bridge.key);
    let request = preview.request(Method::GET, "/").header("Authorization", key);
    let seen = ok(request.send().await.unwrap()).await.to_string();
    let has_key = !sandbox.client.bridge.key.is_empty();
    assert!(!has_key || !seen.contains("authorization"), "{seen}");
    let (mut socket, _) = connect(preview.upgrade("/socket/a?b=c")).await.unwrap();
    let first = frame(&mut socket).await.unwrap();
    assert!(
        first
            .to_text()
            .unwrap()
            .contains(&format!("localhost:{}", server.port))
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_same_request_gives_the_same_address() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.sh("true").await.code(), 0);
    let first = sandbox.expose(3000, &json!({})).await;
    assert_eq!(
        first.answer,
        json!({ "port": 3000, "url": first.answer["url"], "access": "token", "token": first.token(), "wake": false })
    );
    let body = json!({ "name": "n", "wake": true, "expiresIn": "1h" });
    let renamed = sandbox.expose(3000, &body).await;
    assert_eq!(renamed.authority, first.authority);
    assert_eq!(
        (&renamed.answer["name"], &renamed.answer["wake"]),
        (&json!("n"), &json!(true))
    );
    assert!(renamed.answer["expiresAt"].is_string());
    let chosen = sandbox.expose(3001, &json!({ "token": "my_app" })).await;
    assert!(chosen.token().starts_with("my_app-"));
    let public = sandbox.expose(65535, &json!({ "access": "public" })).await;
    assert_eq!(public.answer.get("token"), None);
    let listed = exposed(&sandbox).await;
    let urls: Vec<_> = listed
        .iter()
        .map(|port| (&port["port"], &port["url"], &port["listening"]))
        .collect();
    let no = json!(false);
    let expected: Vec<_> = [&first, &chosen, &public]
        .map(|preview| (&preview.answer["port"], &preview.answer["url"], &no))
        .into();
    assert_eq!(urls, expected);
    // After a `DELETE`, only the public address is the same again, and one whose token was chosen.
    for port in [3000, 3001, 65535] {
        sandbox.unexpose(port).await;
        sandbox.unexpose(port).await;
    }
    assert_eq!(exposed(&sandbox).await, Vec::<Value>::new());
    assert_ne!(sandbox.expose(3000, &json!({})).await.authority, first.authority);
    let again = sandbox.expose(3001, &json!({ "token": "my_app" })).await;
    assert_eq!(again.authority, chosen.authority);
    let again = sandbox.expose(65535, &json!({ "access": "public" })).await;
    assert_eq!(again.authority, public.authority);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_delete_ends_an_address_and_open_connections_at_once() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({})).await;
    let (mut socket, _) = connect(preview.upgrade("/socket")).await.unwrap();
    assert!(frame(&mut socket).await.is_some());
    let endless = preview.get("/endless").await;
    assert_eq!(endless.status(), 200);
    // With the key, a connection is no visit.
    let own = server.get("/endless").await;
    sandbox.unexpose(server.port).await;
    assert_gone(&preview).await;
    assert_eq!(frame(&mut socket).await, None);
    assert!(endless.bytes().await.is_err());
    let mut own = own;
    for _ in 0..10 {
        assert!(own.chunk().await.unwrap().is_some());
    }
    drop(own);
    // Another exposure of the port does not make the old address valid.
    let next = sandbox.expose(server.port, &json!({})).await;
    assert_gone(&preview).await;
    assert_eq!(next.get("/").await.status(), 200);
    // A new token ends the connections of the old one.
    let (mut socket, _) = connect(next.upgrade("/socket")).await.unwrap();
    assert!(frame(&mut socket).await.is_some());
    let chosen = sandbox.expose(server.port, &json!({ "token": "other" })).await;
    assert_eq!(frame(&mut socket).await, None);
    assert_gone(&next).await;
    assert_eq!(chosen.get("/").await.status(), 200);
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_address_ends_at_its_time_and_so_do_its_connections() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({ "expiresIn": "2s" })).await;
    let (mut socket, _) = connect(preview.upgrade("/socket")).await.unwrap();
    assert!(frame(&mut socket).await.is_some());
    assert_eq!(frame(&mut socket).await, None);
    eventually("the address ends", || async {
        preview.get("/").await.status() == 404
    })
    .await;
    assert_eq!(exposed(&sandbox).await, Vec::<Value>::new());
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_address_outlives_sleep_and_a_visit_starts_the_sandbox_only_if_it_may() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({})).await;
    let stop = async || {
        let stopped = sandbox.request(Method::POST, "/stop").send().await.unwrap();
        assert_eq!(stopped.status(), 204);
    };
    stop().await;
    let response = preview.get("/").await;
    assert_eq!(response.headers()["sandbox-error"], "sandbox_not_running");
    assert_error(response, 503, "sandbox_not_running").await;
    let page = preview
        .request(Method::GET, "/")
        .header("Accept", "text/html,*/*");
    let page = page.send().await.unwrap();
    assert_eq!(page.status(), 503);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = text(page).await;
    assert!(page.contains("The sandbox is not running"), "{page}");
    assert!(!sandbox.running().await);
    let restarted = Server::start(&sandbox, "127.0.0.1").await;
    let again = sandbox.expose(restarted.port, &json!({ "wake": true })).await;
    assert_eq!(ok(again.get("/a").await).await["target"], "/a");
    if restarted.port == server.port {
        assert_eq!(again.authority, preview.authority);
    }
    stop().await;
    // The visit starts the sandbox, and nothing starts the server.
    assert_error(again.get("/").await, 502, "port_not_listening").await;
    assert!(sandbox.running().await);
    // `DELETE` of the sandbox ends it, and a visit starts nothing.
    sandbox.destroy().await;
    assert_gone(&again).await;
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn redirects_to_the_server_itself_lead_back_to_the_address() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({})).await;
    let redirected = preview.get("/set").await;
    assert_eq!(redirected.status(), 302);
    assert_eq!(
        redirected.headers()["location"],
        format!("http://{}/elsewhere", preview.authority)
    );
    assert_eq!(redirected.headers().get_all("set-cookie").iter().count(), 2);
    let by_path = server.request(Method::GET, "/set").send().await.unwrap();
    let location = by_path.url().path().to_owned();
    // The client has followed it.
    assert!(location.ends_with("/elsewhere"), "{location}");
    assert_eq!(by_path.status(), 200);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_deployment_has_the_host_that_it_sets_or_none() {
    // As from the Internet: its name is not of this machine.
    let away = |client: &Client, method: Method, path: &str, host: &str| {
        client.request(method, path).header("Host", host)
    };
    let sandbox = sandbox().await;
    assert_eq!(sandbox.sh("true").await.code(), 0);
    if !client().bridge.key.is_empty() {
        let path = format!("/v1/sandbox/{}/port/3000", sandbox.id);
        let refused = away(&client(), Method::PUT, &path, "bridge.example.com");
        let why = assert_error(refused.send().await.unwrap(), 501, "not_supported").await;
        assert!(
            why.contains("PREVIEW_HOST") && why.contains("/tunnel/3000"),
            "{why}"
        );
    }
    sandbox.destroy().await;

    let bridge = Bridge::start(&[("PREVIEW_HOST", "preview.example.com")]);
    let client = Client::new(&bridge);
    let sandbox = client.create().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let preview = sandbox.expose(server.port, &json!({})).await;
    assert!(
        preview.authority.ends_with(".preview.example.com"),
        "{}",
        preview.authority
    );
    for host in [
        preview.authority.clone(),
        format!("{}.", preview.authority.to_uppercase()),
    ] {
        let seen = ok(preview.at(&host).get("/v1").await).await;
        assert_eq!(seen["target"], "/v1");
    }
    // The host itself, and others, are the API's.
    for host in ["preview.example.com", "other.example.com", "a.localhost"] {
        assert_eq!(preview.at(host).get("/health").await.status(), 200, "{host}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn what_cannot_be_an_address_is_refused() {
    let sandbox = sandbox().await;
    let put = async |sandbox: &Sandbox, port: &str, body: Value| {
        let request = sandbox.request(Method::PUT, &format!("/port/{port}")).json(&body);
        request.send().await.unwrap()
    };
    // Nothing was done with it yet.
    assert_error(put(&sandbox, "3000", json!({})).await, 404, "sandbox_not_found").await;
    for (port, body) in [
        ("0", json!({})),
        ("28671", json!({})),
        ("x", json!({})),
        ("3000", json!({ "access": "private" })),
        ("3000", json!({ "token": "My-App" })),
        ("3000", json!({ "token": "a", "access": "public" })),
        ("3000", json!({ "expiresIn": "soon" })),
        ("3000", json!({ "wake": "yes" })),
    ] {
        assert_error(put(&sandbox, port, body).await, 400, "invalid_request").await;
    }
    let long = client().sandbox(&"a".repeat(60));
    let why = assert_error(put(&long, "3000", json!({})).await, 400, "invalid_request").await;
    assert!(why.contains("at most 38 characters"), "{why}");
    assert!(!sandbox.running().await);
    let port = {
        assert_eq!(sandbox.sh("true").await.code(), 0);
        free_port(&sandbox).await
    };
    let preview = sandbox.expose(port, &json!({})).await;
    assert_error(preview.get("/").await, 502, "port_not_listening").await;
    sandbox.destroy().await;
}
