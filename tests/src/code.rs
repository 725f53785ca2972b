//! Code of a sandbox: contexts and runs.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::client::Sandbox;
use crate::process::ok;
use crate::sse::Events;

impl Sandbox {
    /// `POST run-code` with any body.
    pub async fn post_code(&self, body: &Value) -> Response {
        self.post("/run-code", body).await
    }

    /// `POST run-code` with any body, which must be accepted: the result.
    pub async fn run_code(&self, body: &Value) -> Value {
        let response = self.post_code(body).await;
        assert!(response.headers().contains_key("process-id"));
        ok(response).await
    }

    /// Runs Python in the default context.
    pub async fn python(&self, code: &str) -> Value {
        self.run_code(&json!({ "code": code })).await
    }

    /// `POST run-code` as a stream, and the id of its process.
    pub async fn stream_code(&self, body: &Value) -> (Events, String) {
        let request = self.request(Method::POST, "/run-code").json(body);
        let request = request.header("Accept", "text/event-stream");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let id = response.headers()["process-id"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        (Events::new(response.bytes_stream()), id)
    }

    /// `POST context`, which must be accepted: its id.
    pub async fn context(&self, body: &Value) -> String {
        let context = ok(self.post("/context", body).await).await;
        context["id"].as_str().expect("an id").to_owned()
    }

    /// `GET context`.
    pub async fn contexts(&self) -> Vec<Value> {
        let response = self.request(Method::GET, "/context").send().await;
        let list = ok(response.expect("an answer")).await;
        list["contexts"].as_array().expect("a list").clone()
    }

    /// A request to a context; `rest` begins with a slash or is empty.
    pub async fn of_context(&self, method: Method, id: &str, rest: &str) -> Response {
        let request = self.request(method, &format!("/context/{id}{rest}"));
        request.send().await.expect("an answer")
    }
}
