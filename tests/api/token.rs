//! Tokens, several keys, and web pages of other origins.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use sandbar_tests::bridge::project_root;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client, Sandbox};
use sandbox_protocol::route_table::{self, Access, ROUTES};
use sandbox_protocol::token::Scope;
use serde_json::{Value, json};

use crate::{client, sandbox};

/// Creates a token with the key of `client`.
async fn token(client: &Client, body: &Value) -> String {
    let request = client.request(Method::POST, "/v1/token").json(body);
    let created = ok(request.send().await.unwrap()).await;
    created["token"].as_str().expect("a token").to_owned()
}

/// The sandbox for a client that has this token in the place of the key.
fn with_token(sandbox: &Sandbox, token: &str) -> Sandbox {
    let mut client = sandbox.client.clone();
    token.clone_into(&mut client.bridge.key);
    client.sandbox(&sandbox.id)
}

fn names(scopes: impl Iterator<Item = Scope>) -> Vec<&'static str> {
    scopes.map(Scope::name).collect()
}

/// Every operation that needs a key or a token, with a request for it.
fn guarded(sandbox: &Sandbox) -> impl Iterator<Item = (&'static route_table::Route, Method, String)> {
    let routes = ROUTES.iter().filter(|route| route.access.is_guarded());
    routes.map(|route| {
        let path = route.pattern.replace("{id}", &sandbox.id);
        let path = path.replace("{path}", "workspace/f").replace("{port}", "8080");
        let path = path.replace("{pid}", "p").replace("{sid}", "s");
        let method = match route.method {
            route_table::Method::Any => Method::GET,
            method => method.as_str().parse().unwrap(),
        };
        (route, method, path)
    })
}

async fn status(client: &Client, method: Method, path: &str) -> (u16, String) {
    let response = client.request(method, path).send().await.expect("an answer");
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_token_does_what_its_scopes_permit_and_nothing_else() {
    let sandbox = sandbox().await;
    let body = json!({ "sandbox": sandbox.id, "scopes": ["exec", "files:write"], "expiresIn": "10m" });
    let own = with_token(&sandbox, &token(&sandbox.client, &body).await);
    assert_eq!(own.put("workspace/f", "text").await.status(), 200);
    assert_eq!(own.sh("cat f").await.text(), "text");
    assert!(own.running().await);
    let text = assert_error(own.get("workspace/f").await, 403, "forbidden").await;
    assert!(text.contains("files:read"), "{text}");
    assert_eq!(own.destroy().await, StatusCode::FORBIDDEN);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn without_the_scope_or_for_another_sandbox_everything_is_403_and_nothing_starts() {
    let sandbox = sandbox().await;
    let other = client().create().await;
    let mut checked = 0;
    for without in Scope::ALL {
        let scopes = names(Scope::ALL.into_iter().filter(|scope| *scope != without));
        let body = json!({ "scopes": scopes, "expiresIn": "10m" });
        let lacking = with_token(&sandbox, &token(&sandbox.client, &body).await);
        for (route, method, path) in guarded(&sandbox) {
            if route.access.scope() == Some(without) || route.access == Access::Key {
                let (status, code) = status(&lacking.client, method.clone(), &path).await;
                assert_eq!(status, 403, "{method} {path} without {without}");
                assert!(
                    method == Method::HEAD || code == "forbidden",
                    "{method} {path}: {code}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
    let body = json!({ "sandbox": other.id, "scopes": names(Scope::ALL.into_iter()), "expiresIn": "10m" });
    let foreign = with_token(&sandbox, &token(&sandbox.client, &body).await);
    // Operations that every token permits, and that are not about a sandbox.
    let is_for_all =
        |route: &route_table::Route| route.access == Access::Token && !route.pattern.contains("{id}");
    for (_, method, path) in guarded(&sandbox).filter(|(route, ..)| !is_for_all(route)) {
        let (status, _) = status(&foreign.client, method.clone(), &path).await;
        assert_eq!(status, 403, "{method} {path}");
    }
    assert!(!sandbox.running().await);
    assert!(!other.running().await);
}

#[tokio::test]
async fn altered_expired_and_foreign_tokens_are_401() {
    let sandbox = sandbox().await;
    let body = json!({ "scopes": names(Scope::ALL.into_iter()), "expiresIn": "10m" });
    let good = token(&sandbox.client, &body).await;
    assert!(!with_token(&sandbox, &good).running().await);
    let path = format!("/v1/sandbox/{}/running", sandbox.id);
    let is_refused = async |token: &str| {
        let presented = with_token(&sandbox, token);
        status(&presented.client, Method::GET, &path).await == (401, "unauthorized".to_owned())
    };
    for at in 0..good.len() {
        let mut altered = good.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert!(is_refused(&altered).await, "byte {at}");
    }
    let foreign = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjk5OTk5OTk5OTksInNjb3BlIjoiZXhlYyJ9.\
                   WrGpB2KJ2jGJ3CqzP1zJtXvB8i4nO5n4S8a6rX6m2dY";
    assert!(is_refused(foreign).await);
    let body = json!({ "scopes": ["exec"], "expiresIn": "1ms" });
    let short = token(&sandbox.client, &body).await;
    tokio::time::sleep(Duration::from_millis(3000)).await;
    assert!(is_refused(&short).await);
}

#[tokio::test]
async fn a_token_stands_in_the_query_where_the_key_does() {
    let client = client();
    let token = token(&client, &json!({ "scopes": ["exec"], "expiresIn": "10m" })).await;
    let open = async |query: &str| {
        let url = format!("{}/v1/openapi.json{query}", client.bridge.url);
        client.http.get(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!(open(&format!("?token={token}")).await, 200);
    assert_eq!(open(&format!("?token={token}x")).await, 401);
    let body = json!({ "scopes": ["exec"], "expiresIn": "10m", "sandbox": "abc" });
    let of_one_sandbox = self::token(&client, &body).await;
    assert_eq!(open(&format!("?token={of_one_sandbox}")).await, 200);
}

#[tokio::test]
async fn a_token_for_one_sandbox_reaches_no_snapshot_of_another_and_makes_no_other() {
    let (own, other) = (sandbox().await, client().create().await);
    let snapshots = [own.snapshot(&json!({})).await, other.snapshot(&json!({})).await];
    let [own_id, foreign_id] = snapshots.map(|made| made["id"].as_str().unwrap().to_owned());
    let body = json!({ "sandbox": own.id, "scopes": ["manage"], "expiresIn": "10m" });
    let limited = with_token(&own, &token(&own.client, &body).await);
    assert_eq!(limited.restore(&own_id).await.status(), 200);
    assert_error(limited.restore(&foreign_id).await, 403, "forbidden").await;
    let settings = json!({ "snapshot": foreign_id });
    let patched = limited
        .request(Method::PATCH, "")
        .json(&settings)
        .send()
        .await
        .unwrap();
    assert_error(patched, 403, "forbidden").await;
    assert_error(
        limited.post("/fork", &json!({ "count": 1 })).await,
        403,
        "forbidden",
    )
    .await;
    for (sandbox, id) in [(&own, own_id), (&other, foreign_id)] {
        assert_eq!(sandbox.destroy().await, 204);
        sandbox.client.delete_snapshot(&id).await;
    }
}

#[tokio::test]
async fn requests_for_tokens_are_checked() {
    let client = client();
    for (body, word) in [
        (json!({}), "scopes"),
        (json!({ "scopes": ["root"], "expiresIn": "1h" }), "scopes"),
        (json!({ "scopes": ["exec"], "expiresIn": "forever" }), "expiresIn"),
        (
            json!({ "scopes": ["exec"], "expiresIn": "1h", "sandbox": "UPPER" }),
            "Invalid sandbox ID",
        ),
    ] {
        let response = client.request(Method::POST, "/v1/token").json(&body).send().await;
        let text = assert_error(response.unwrap(), 400, "invalid_request").await;
        assert!(text.contains(word), "{body}: {text}");
    }
}

/// A bridge with these variables, without anything to run sandboxes on, and a client with `key`.
fn bare(vars: &[(&str, &str)], key: &str) -> Client {
    let mut bridge = Bridge::start_bare(&project_root().join("wrangler.jsonc"), vars);
    key.clone_into(&mut bridge.key);
    Client::new(&bridge)
}

async fn creates(client: &Client, credential: &str) -> u16 {
    let url = format!("{}/v1/sandbox", client.bridge.url);
    let request = client.http.post(url).bearer_auth(credential);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_key_is_replaced_without_a_gap_and_its_tokens_end_with_it() {
    let both = bare(&[("SANDBOX_API_KEY", "old-key, new-key")], "old-key");
    let body = json!({ "scopes": ["manage"], "expiresIn": "10m" });
    let of_old = token(&both, &body).await;
    for credential in ["old-key", "new-key", &of_old] {
        assert_eq!(creates(&both, credential).await, 200, "{credential}");
    }
    assert_eq!(creates(&both, "old-key, new-key").await, 401);
    let swapped = bare(&[("SANDBOX_API_KEY", "new-key,old-key")], "new-key");
    assert_eq!(creates(&swapped, &of_old).await, 200);
    let of_new = token(&swapped, &body).await;
    let last = bare(&[("SANDBOX_API_KEY", "new-key")], "new-key");
    for (credential, status) in [
        ("old-key", 401),
        (&*of_old, 401),
        ("new-key", 200),
        (&*of_new, 200),
    ] {
        assert_eq!(creates(&last, credential).await, status, "{credential}");
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_others_may_not_read() {
    let vars = [
        ("SANDBOX_API_KEY", "k"),
        ("ALLOWED_ORIGINS", "https://app.example.com"),
    ];
    let client = bare(&vars, "k");
    let url = format!("{}/v1/sandbox", client.bridge.url);
    let send = async |method: Method, origin: &str, is_preflight: bool| {
        let mut request = client.http.request(method, &url).header("Origin", origin);
        request = if is_preflight {
            request
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "authorization,content-type")
        } else {
            request.bearer_auth("k")
        };
        request.send().await.unwrap()
    };
    let preflight = send(Method::OPTIONS, "https://app.example.com", true).await;
    let header = |response: &reqwest::Response, name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let allowed = "access-control-allow-origin";
    assert_eq!(preflight.status(), 204);
    assert_eq!(
        header(&preflight, allowed).as_deref(),
        Some("https://app.example.com")
    );
    assert_eq!(
        header(&preflight, "access-control-allow-headers").as_deref(),
        Some("authorization,content-type")
    );
    assert!(
        header(&preflight, "access-control-allow-methods")
            .unwrap()
            .contains("DELETE")
    );
    let created = send(Method::POST, "https://app.example.com", false).await;
    assert_eq!(created.status(), 200);
    assert_eq!(
        header(&created, allowed).as_deref(),
        Some("https://app.example.com")
    );
    assert_eq!(header(&created, "vary").as_deref(), Some("Origin"));
    assert!(created.json::<Value>().await.unwrap()["id"].is_string());
    let foreign = send(Method::POST, "https://evil.example.com", false).await;
    assert_eq!(
        (foreign.status().as_u16(), header(&foreign, allowed)),
        (200, None)
    );
    let foreign = send(Method::OPTIONS, "https://evil.example.com", true).await;
    assert_eq!(
        (foreign.status().as_u16(), header(&foreign, allowed)),
        (401, None)
    );
}
