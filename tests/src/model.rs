//! A server that speaks OpenAI's chat format and replies by a script.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The server, on 127.0.0.1, until the end of the test's runtime.
#[derive(Debug)]
pub struct Model {
    /// The address before `/chat/completions`.
    pub url: String,
    script: Arc<Script>,
}

#[derive(Debug)]
struct Script {
    replies: Vec<String>,
    requests: Mutex<Vec<Value>>,
}

impl Model {
    /// Starts a server whose replies are these, one after the other. A request after the last one is 429.
    pub async fn start(replies: &[&str]) -> Self {
        let script = Arc::new(Script {
            replies: replies.iter().map(|&reply| reply.to_owned()).collect(),
            requests: Mutex::default(),
        });
        let router = Router::new().route("/v1/chat/completions", post(reply));
        let router = router.with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    /// The bodies of the requests so far.
    pub fn requests(&self) -> Vec<Value> {
        let requests = self.script.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn reply(State(script): State<Arc<Script>>, Json(request): Json<Value>) -> Response {
    let mut requests = script.requests.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = script.replies.get(requests.len());
    requests.push(request);
    match reply {
        Some(reply) => {
            let message = json!({ "role": "assistant", "content": reply });
            Json(json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] }))
                .into_response()
        }
        None => StatusCode::TOO_MANY_REQUESTS.into_response(),
    }
}
