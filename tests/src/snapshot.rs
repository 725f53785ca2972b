//! Snapshots, as clients use them.

use std::env;
use std::path::PathBuf;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::process::ok;
use crate::{Client, Sandbox};

/// The directory that the bridges of tests keep snapshots in.
pub fn directory() -> PathBuf {
    env::temp_dir().join("sandbar-snapshots")
}

/// The path of an object of their store.
pub fn object(key: &str) -> PathBuf {
    directory().join("objects/snapshots").join(key)
}

impl Sandbox {
    /// `POST …/snapshot`, which succeeds.
    pub async fn snapshot(&self, body: &Value) -> Value {
        ok(self.post("/snapshot", body).await).await
    }

    /// `POST …/restore`.
    pub async fn restore(&self, snapshot: &str) -> Response {
        self.post("/restore", &json!({ "snapshot": snapshot })).await
    }

    /// `POST …/stop`, which succeeds.
    pub async fn stop(&self) {
        let stopped = self
            .request(Method::POST, "/stop")
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            stopped.status(),
            204,
            "{}",
            stopped.text().await.unwrap_or_default()
        );
    }
}

impl Client {
    /// The ids of the snapshots of a sandbox, the newest first.
    pub async fn snapshots_of(&self, sandbox: &str) -> Vec<String> {
        let request = self.request(Method::GET, &format!("/v1/snapshot?sandbox={sandbox}"));
        let page = ok(request.send().await.expect("an answer")).await;
        let snapshots = page["snapshots"].as_array().expect("a list");
        snapshots
            .iter()
            .map(|snapshot| snapshot["id"].as_str().expect("an id").to_owned())
            .collect()
    }

    /// `DELETE /v1/snapshot/{id}`.
    pub async fn delete_snapshot(&self, id: &str) -> Response {
        let request = self.request(Method::DELETE, &format!("/v1/snapshot/{id}"));
        request.send().await.expect("an answer")
    }
}
