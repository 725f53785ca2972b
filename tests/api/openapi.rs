//! The OpenAPI document and its explorer, as they are served.

use reqwest::{Method, Response};
use sandbar_tests::client::assert_error;
use serde_json::Value;

use crate::client;

const PAGES: [&str; 3] = ["/v1/openapi.json", "/v1/openapi.html", "/v1/openapi"];

const EXPLORER: [(&str, &str); 5] = [
    ("swagger-ui-bundle.js", "text/javascript"),
    ("explorer.js", "text/javascript"),
    ("swagger-ui.css", "text/css"),
    ("explorer.css", "text/css"),
    ("swagger-ui-bundle.js.LICENSE.txt", "text/plain"),
];

/// A request without the key, unless it is in the path.
async fn get(path: &str) -> Response {
    let client = client();
    let url = format!("{}{path}", client.bridge.url);
    client.http.get(url).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_document_that_is_served_is_the_one_of_this_source() {
    let response = client().request(Method::GET, PAGES[0]).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "application/json");
    let served: Value = response.json().await.unwrap();
    assert_eq!(served, sandbar_openapi::document());
}

#[tokio::test]
async fn its_pages_take_the_key_as_bearer_or_as_token() {
    let client = client();
    let key = &client.bridge.key;
    for page in PAGES {
        assert_eq!(get(&format!("{page}?token={key}")).await.status(), 200, "{page}");
        assert_eq!(
            get(&format!("{page}?a=b&token={key}")).await.status(),
            200,
            "{page}"
        );
        let with_header = client.request(Method::GET, page).send().await.unwrap();
        assert_eq!(with_header.status(), 200, "{page}");
        for wrong in [
            "",
            "?token=",
            "?token=wrong",
            "?Token=k",
            "?authorization=Bearer%20k",
        ] {
            assert_error(get(&format!("{page}{wrong}")).await, 401, "unauthorized").await;
        }
        // A wrong key in the header is refused, whatever the query has.
        let url = format!("{}{page}?token={key}", client.bridge.url);
        let both = client.http.get(url).bearer_auth("wrong").send().await.unwrap();
        assert_error(both, 401, "unauthorized").await;
    }
    for elsewhere in ["/v1/pool/stats", "/v1/sandbox/abc/running"] {
        let response = get(&format!("{elsewhere}?token={key}")).await;
        assert_error(response, 401, "unauthorized").await;
    }
}

#[tokio::test]
async fn the_page_loads_and_tells_nothing_from_and_to_elsewhere() {
    let client = client();
    for page in &PAGES[1..] {
        let response = client.request(Method::GET, page).send().await.unwrap();
        assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
        let policy = header(&response, "content-security-policy").to_owned();
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        let text = response.text().await.unwrap();
        assert!(!text.contains("://"), "{text}");
        for (file, _) in &EXPLORER[..4] {
            assert!(text.contains(&format!("\"/explorer/{file}\"")), "{text}");
        }
    }
}

#[tokio::test]
async fn no_page_tells_where_it_was_opened_from_and_all_are_asked_for_anew() {
    let client = client();
    let files = EXPLORER.map(|(file, _)| format!("/explorer/{file}"));
    for path in PAGES.map(str::to_owned).into_iter().chain(files) {
        let response = client.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&response, "cache-control"), "no-cache", "{path}");
        let tag = header(&response, "etag").to_owned();
        let again = client.request(Method::GET, &path).header("if-none-match", tag);
        assert_eq!(again.send().await.unwrap().status(), 304, "{path}");
    }
}

#[tokio::test]
async fn what_the_page_loads_needs_no_key_and_nothing_else_is_there() {
    for (file, kind) in EXPLORER {
        let response = get(&format!("/explorer/{file}")).await;
        assert_eq!(response.status(), 200, "{file}");
        assert!(header(&response, "content-type").starts_with(kind), "{file}");
        assert!(!response.text().await.unwrap().is_empty());
    }
    for path in [
        "/openapi.json",
        "/openapi.html",
        "/%6fpenapi.json",
        "//openapi.json",
        "/explorer/",
        "/explorer/openapi.json",
        "/explorer/%2e%2e/openapi.json",
    ] {
        assert_error(get(path).await, 404, "not_found").await;
    }
}

#[tokio::test]
async fn the_key_in_an_address_is_not_logged() {
    let client = client();
    let path = format!("/v1/openapi.html?token={}", client.bridge.key);
    assert_eq!(get(&path).await.status(), 200);
    get("/v1/openapi?token=a-wrong-key-that-nobody-has").await;
    if client.bridge.is_local || client.bridge.has_containers {
        // The key itself is in the output of a bridge that starts.
        assert_eq!(client.bridge.log.count(&["token="]), 0);
        assert_eq!(client.bridge.log.count(&["a-wrong-key-that-nobody-has"]), 0);
    }
}
