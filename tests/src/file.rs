//! Files and directories of a sandbox.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::{Method, Response};
use sandbox_protocol::hex::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::client::Sandbox;
use crate::process::ok;

/// The SHA-256 of these bytes in hex, as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl Sandbox {
    /// `GET directory`, a page; `rest` is the path as it stands in the URL, and perhaps a query.
    pub async fn list(&self, rest: &str) -> Value {
        let request = self.request(Method::GET, &format!("/directory/{rest}"));
        ok(request.send().await.expect("an answer")).await
    }

    /// The paths of all pages of a directory.
    pub async fn paths(&self, directory: &str, query: &str) -> Vec<String> {
        let mut paths = Vec::new();
        let mut cursor = String::new();
        loop {
            let request = self.request(Method::GET, &format!("/directory/{directory}?{query}"));
            let request = request.query(&[("cursor", &cursor)]);
            let page = ok(request.send().await.expect("an answer")).await;
            let entries = page["entries"].as_array().expect("a list");
            paths.extend(entries.iter().map(path_of));
            match page["cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return paths,
            }
        }
    }

    /// `GET directory` as NDJSON: the entries, and the last line.
    pub async fn list_all(&self, rest: &str) -> (Vec<Value>, Value) {
        let request = self.request(Method::GET, &format!("/directory/{rest}"));
        let request = request.header("Accept", "application/x-ndjson");
        lines(request.send().await.expect("an answer")).await
    }

    /// `GET stat`
    pub async fn stat(&self, rest: &str) -> Response {
        let request = self.request(Method::GET, &format!("/stat/{rest}"));
        request.send().await.expect("an answer")
    }

    /// `DELETE file`
    pub async fn remove(&self, rest: &str) -> Response {
        let request = self.request(Method::DELETE, &format!("/file/{rest}"));
        request.send().await.expect("an answer")
    }

    /// `POST move` between two paths.
    pub async fn rename(&self, from: &str, to: &str) -> Response {
        self.post("/move", &json!({ "from": from, "to": to })).await
    }

    /// `POST copy` between two paths, recursively.
    pub async fn copy(&self, from: &str, to: &str) -> Response {
        let body = json!({ "from": from, "to": to, "recursive": true });
        self.post("/copy", &body).await
    }
}

/// The path of an entry.
pub fn path_of(entry: &Value) -> String {
    entry["path"].as_str().expect("a path").to_owned()
}

/// The lines of an answer as NDJSON, which must be 200: all but the last, and the last.
pub async fn lines(response: Response) -> (Vec<Value>, Value) {
    let status = response.status();
    let kind = response.headers()["content-type"].clone();
    let text = response.text().await.expect("a body");
    assert_eq!(
        (status.as_u16(), kind.to_str().unwrap()),
        (200, "application/x-ndjson"),
        "{text}"
    );
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let mut lines: Vec<Value> = lines.collect();
    let last = lines.pop().expect("a last line");
    (lines, last)
}

/// An event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchEvent {
    /// Its id, if it has one.
    pub id: Option<u64>,
    /// Its type.
    pub kind: String,
    /// Its data.
    pub data: Value,
}

impl WatchEvent {
    /// Type and path, and the old path of a move: `moved /workspace/a /workspace/b`.
    pub fn text(&self) -> String {
        let field = |name: &str| self.data[name].as_str().map(|path| format!(" {path}"));
        let (from, path) = (field("from"), field("path"));
        format!(
            "{}{}{}",
            self.kind,
            from.unwrap_or_default(),
            path.unwrap_or_default()
        )
    }
}

/// The stream of a watch.
pub struct Watch {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Sandbox {
    /// `GET watch`, which must be accepted, up to its first event, `watching`.
    pub async fn watch(&self, rest: &str) -> (Watch, WatchEvent) {
        let request = self.request(Method::GET, &format!("/watch/{rest}"));
        Watch::begin(request.send().await.expect("an answer")).await
    }
}

impl Watch {
    /// Reads the first event of an answer, which must be `watching`.
    pub async fn begin(response: Response) -> (Self, WatchEvent) {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut watch = Self {
            body: response.bytes_stream().boxed(),
            buffer: Vec::new(),
        };
        let first = watch.next().await.expect("an event");
        assert_eq!(first.kind, "watching");
        (watch, first)
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            while self.buffer.starts_with(b":\n") {
                self.buffer.drain(..2);
            }
            let end = self.buffer.windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let event = String::from_utf8(event).expect("UTF-8");
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                return Some(WatchEvent {
                    id: field("id: ").map(|id| id.parse().expect("a number")),
                    kind: field("event: ").expect("a type").to_owned(),
                    data: serde_json::from_str(field("data: ").expect("data")).expect("JSON"),
                });
            }
            self.buffer.extend_from_slice(&self.body.next().await?.ok()?);
        }
    }

    /// The next events up to one with this text, which must come.
    pub async fn until(&mut self, last: &str) -> Vec<WatchEvent> {
        let mut events = Vec::new();
        while events.last().map(WatchEvent::text).as_deref() != Some(last) {
            let next = timeout(Duration::from_secs(20), self.next()).await;
            let texts = || events.iter().map(WatchEvent::text).collect::<Vec<_>>();
            let next = next.unwrap_or_else(|_| panic!("{last} does not come: {:?}", texts()));
            events.push(next.unwrap_or_else(|| panic!("the stream ends before {last}")));
        }
        events
    }
}
