//! Processes of a sandbox.

use futures_util::StreamExt as _;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::client::Sandbox;
use crate::sse::Events;

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its sandbox.
    pub sandbox: Sandbox,
    /// Its id.
    pub id: String,
}

impl Sandbox {
    /// `POST process`, which must be accepted.
    pub async fn start(&self, body: &Value) -> Process {
        let response = self.post("/process", body).await;
        let record = ok(response).await;
        self.process(record["id"].as_str().expect("an id"))
    }

    /// `POST process` with a script for a shell.
    pub async fn start_sh(&self, script: &str) -> Process {
        self.start(&json!({ "argv": ["sh", "-c", script] })).await
    }

    /// A process by its id.
    pub fn process(&self, id: &str) -> Process {
        Process {
            sandbox: self.clone(),
            id: id.to_owned(),
        }
    }

    /// `GET process`; `query` is empty or begins with `?`.
    pub async fn processes(&self, query: &str) -> Vec<Value> {
        let request = self.request(Method::GET, &format!("/process{query}"));
        let list = ok(request.send().await.expect("an answer")).await;
        list["processes"].as_array().expect("a list").clone()
    }
}

impl Process {
    /// A request to the process; `rest` begins with a slash or is empty.
    pub fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        self.sandbox
            .request(method, &format!("/process/{}{rest}", self.id))
    }

    /// `GET` of the process: its record.
    pub async fn show(&self) -> Value {
        let response = self.request(Method::GET, "").send().await;
        ok(response.expect("an answer")).await
    }

    /// `GET log`; `query` is empty or begins with `?`.
    pub async fn log(&self, query: &str) -> Events {
        self.log_after(0, query).await
    }

    /// `GET log` that continues behind the event `last_id`.
    pub async fn log_after(&self, last_id: u64, query: &str) -> Events {
        let request = self
            .request(Method::GET, &format!("/log{query}"))
            .header("Last-Event-ID", last_id);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events::after(last_id, response.bytes_stream())
    }

    /// `GET log` as text; `query` is empty or begins with `?`.
    pub async fn text(&self, query: &str) -> Vec<u8> {
        let request = self
            .request(Method::GET, &format!("/log{query}"))
            .header("Accept", "text/plain");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        response.bytes().await.expect("a body").into()
    }

    /// `POST stdin`; `offset` is the header, `query` is empty or begins with `?`.
    pub async fn stdin(&self, bytes: impl Into<reqwest::Body>, offset: Option<u64>, query: &str) -> Response {
        let mut request = self
            .request(Method::POST, &format!("/stdin{query}"))
            .body(bytes.into());
        if let Some(offset) = offset {
            request = request.header("Stdin-Offset", offset);
        }
        request.send().await.expect("an answer")
    }

    /// `POST signal`
    pub async fn signal(&self, signal: impl Into<Value>) -> Response {
        let request = self.request(Method::POST, "/signal");
        let request = request.json(&json!({ "signal": signal.into() }));
        request.send().await.expect("an answer")
    }

    /// `POST wait`, which must be accepted.
    pub async fn wait(&self, body: &Value) -> Value {
        let request = self.request(Method::POST, "/wait").json(body);
        ok(request.send().await.expect("an answer")).await
    }

    /// Waits for its end; gives its exit.
    pub async fn exit(&self) -> Value {
        let mut result = self.wait(&json!({ "for": "exit", "timeout_ms": 60_000 })).await;
        assert_eq!(result["state"], "exited", "{result}");
        assert!(result["exit"].is_object(), "{result}");
        result["exit"].take()
    }

    /// `DELETE` of the process, without a grace.
    pub async fn end(&self) -> reqwest::StatusCode {
        let request = self.request(Method::DELETE, "?grace_ms=0");
        request.send().await.expect("an answer").status()
    }
}

/// The JSON of an answer, which must be 200.
pub async fn ok(response: Response) -> Value {
    let status = response.status();
    let text = text(response).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text:?}"))
}

/// The text of a body, as far as it comes.
pub async fn text(response: Response) -> String {
    let mut body = response.bytes_stream();
    let mut text = Vec::new();
    while let Some(Ok(bytes)) = body.next().await {
        text.extend_from_slice(&bytes);
    }
    String::from_utf8_lossy(&text).into_owned()
}
