//! The calls of the API.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::bridge::Bridge;
use crate::openapi_errors;
use crate::sse::{Events, Finished};

/// A client with the bridge's key.
#[derive(Debug, Clone)]
pub struct Client {
    /// The bridge.
    pub bridge: Bridge,
    /// The HTTP client underneath; it does not add the key.
    pub http: reqwest::Client,
}

impl Client {
    /// A client with connections of its own.
    pub fn new(bridge: &Bridge) -> Self {
        let http = reqwest::Client::builder()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(30))
            // Before the server closes an idle connection: a request sent at the same time would be
            // lost.
            .pool_idle_timeout(Duration::from_secs(1))
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Self {
            bridge: bridge.clone(),
            http,
        }
    }

    /// A request with the key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.bridge.url))
            .bearer_auth(&self.bridge.key)
    }

    /// `POST /v1/sandbox`
    pub async fn create(&self) -> Sandbox {
        let response = self
            .request(Method::POST, "/v1/sandbox")
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.expect("JSON");
        Sandbox {
            client: self.clone(),
            id: body["id"].as_str().expect("an id").to_owned(),
        }
    }

    /// A sandbox by its id.
    pub fn sandbox(&self, id: &str) -> Sandbox {
        Sandbox {
            client: self.clone(),
            id: id.to_owned(),
        }
    }
}

/// One sandbox.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The client it is reached by.
    pub client: Client,
    /// Its id.
    pub id: String,
}

impl Sandbox {
    /// A request to the sandbox; `rest` begins with a slash or is empty.
    pub fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        self.client
            .request(method, &format!("/v1/sandbox/{}{rest}", self.id))
    }

    /// `POST exec` with any body.
    pub async fn exec_json(&self, body: &Value) -> Response {
        self.request(Method::POST, "/exec")
            .json(body)
            .send()
            .await
            .expect("an answer")
    }

    /// `POST exec`, which must be accepted; the stream to read.
    pub async fn stream(&self, body: &Value) -> Events {
        let response = self.exec_json(body).await;
        if response.status() != 200 {
            panic!(
                "exec: {} {}",
                response.status(),
                response.text().await.unwrap_or_default()
            );
        }
        Events::new(response.bytes_stream())
    }

    /// `POST exec` with any body, read to the end.
    pub async fn exec(&self, body: &Value) -> Finished {
        self.stream(body).await.finish().await
    }

    /// Runs a shell script to its end.
    pub async fn sh(&self, script: &str) -> Finished {
        self.exec(&json!({ "argv": ["sh", "-c", script] })).await
    }

    /// A `POST` of JSON; `rest` begins with a slash.
    pub async fn post(&self, rest: &str, body: &Value) -> Response {
        let request = self.request(Method::POST, rest).json(body);
        request.send().await.expect("an answer")
    }

    /// `PUT file`; `encoded` is the path as it stands in the URL.
    pub async fn put(&self, encoded: &str, bytes: impl Into<reqwest::Body>) -> Response {
        self.request(Method::PUT, &format!("/file/{encoded}"))
            .body(bytes)
            .send()
            .await
            .expect("an answer")
    }

    /// `GET file`
    pub async fn get(&self, encoded: &str) -> Response {
        self.request(Method::GET, &format!("/file/{encoded}"))
            .send()
            .await
            .expect("an answer")
    }

    /// `GET running`
    pub async fn running(&self) -> bool {
        let response = self
            .request(Method::GET, "/running")
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.expect("JSON");
        body["running"].as_bool().expect("running is a bool")
    }

    /// `DELETE`
    pub async fn destroy(&self) -> StatusCode {
        self.request(Method::DELETE, "")
            .send()
            .await
            .expect("an answer")
            .status()
    }

    /// The id of the boot behind the sandbox now; starts it if it does not run.
    pub async fn boot_id(&self) -> String {
        let response = self.exec_json(&json!({ "argv": ["true"] })).await;
        response.headers()["sandbox-boot-id"]
            .to_str()
            .expect("ASCII")
            .to_owned()
    }
}

/// Asserts that a response is an error of the contract's form, and one that the OpenAPI document
/// knows; gives its text.
pub async fn assert_error(response: Response, status: u16, code: &str) -> String {
    let path = response.url().path();
    let is_documented = openapi_errors::is_documented(path, status, code);
    assert!(
        is_documented,
        "{path} has no {status} {code} in the OpenAPI document"
    );
    let got = response.status().as_u16();
    let kind = response
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let text = response.text().await.expect("a body");
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON ({got}): {text:?}"));
    assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{text}");
    assert_eq!(kind, "application/json");
    body["error"].as_str().expect("a text").to_owned()
}

/// The seconds in a response's `Retry-After`, which it must have.
pub fn retry_after(response: &Response) -> u32 {
    let value = response.headers().get("retry-after").expect("Retry-After");
    let value = value.to_str().expect("ASCII");
    value.parse().expect("whole seconds")
}

/// Whether a response is not the bridge's: the proxy that `wrangler dev` puts in front of a Worker
/// replaces an answer that came while the request was still being sent with a 500.
pub fn lost_by_proxy(status: u16, text: &str) -> bool {
    status == 500 && text.contains("Network connection lost") && text.contains("miniflare")
}
