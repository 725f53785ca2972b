use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use reqwest::{Method, RequestBuilder};
use sandbox_protocol::SandboxId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::sandbox_id;
use crate::error::{Error, Result};
use crate::http::Bridge;
use crate::output::write_all;

/// The code of an answer that the bridge did not give.
const NO_ANSWER: i64 = -32000;

/// The key of a request's revision in its `_meta`.
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// Connects a host that speaks MCP over standard input and output with the tools of the bridge
///
/// Each line of standard input is a message; each answer is a line of standard output. With an ID, the
/// tools are those of one sandbox.
#[derive(Args)]
#[command(after_help = "Example:\n  claude mcp add sandbar -- sandbar mcp")]
pub struct Mcp {
    /// The id of a sandbox [default: the tools for all of them]
    #[arg(value_name = "ID", value_parser = sandbox_id)]
    id: Option<SandboxId>,
}

impl Mcp {
    /// Carries messages until the end of the input, and waits for the answers.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let path = self
            .id
            .map_or_else(|| "/v1/mcp".to_owned(), |id| format!("/v1/sandbox/{id}/mcp"));
        let host = Arc::new(Host {
            bridge: bridge.clone(),
            path,
            version: Mutex::default(),
        });
        let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
        let mut calls = JoinSet::new();
        let mut by_id: HashMap<String, AbortHandle> = HashMap::new();
        loop {
            let line = lines
                .next_segment()
                .await
                .map_err(Error::io("the standard input cannot be read"))?;
            let Some(line) = line else {
                break;
            };
            // One that is no UTF-8 is no JSON either.
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.trim().is_empty() {
                continue;
            }
            // One that is no JSON is the bridge's to answer.
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            let method = message.get("method").and_then(Value::as_str);
            if method == Some("notifications/cancelled") {
                // A closed connection is what the bridge notices. A cancelled request has no answer.
                let id = message.pointer("/params/requestId").map(Value::to_string);
                if let Some(call) = id.and_then(|id| by_id.remove(&id)) {
                    call.abort();
                }
                continue;
            }
            by_id.retain(|_, call| !call.is_finished());
            let id = message.get("id").map(Value::to_string);
            if method == Some("initialize") {
                // Later messages need the revision in its answer.
                host.call(line, message).await?;
                continue;
            }
            let call = calls.spawn(host_call(Arc::clone(&host), line, message));
            if let Some(id) = id {
                by_id.insert(id, call);
            }
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
        Ok(0)
    }
}

async fn host_call(host: Arc<Host>, line: String, message: Value) {
    // Fails if the host is gone, whose input then ends, too.
    let _ = host.call(line, message).await;
}

/// The program that speaks MCP, and where its messages go.
struct Host {
    bridge: Bridge,
    path: String,
    /// The revision that `initialize` was answered with.
    version: Mutex<Option<String>>,
}

impl Host {
    /// Sends a message, and prints the answer, if it has one.
    async fn call(&self, line: String, message: Value) -> Result<()> {
        let answer = match self.send(line, &message).await {
            Ok(answer) => answer,
            Err(error) => message.get("id").map(|id| failure(id, &error)),
        };
        match answer {
            Some(answer) => {
                if message.get("method").and_then(Value::as_str) == Some("initialize") {
                    let version = answer.pointer("/result/protocolVersion").and_then(Value::as_str);
                    *self.version.lock().await = version.map(str::to_owned);
                }
                write_all(format!("{answer}\n").as_bytes())
            }
            None => Ok(()),
        }
    }

    /// The answer; `None` to a notification.
    async fn send(&self, line: String, message: &Value) -> Result<Option<Value>> {
        let version = self.version.lock().await.clone();
        let request = self.bridge.request(Method::POST, &self.path);
        let request = with_headers(request, message, version.as_deref());
        let response = request.body(line).send().await.map_err(Error::from_transport)?;
        let status = response.status();
        let body = response.bytes().await.map_err(Error::from_transport)?;
        if body.is_empty() && status.is_success() {
            return Ok(None);
        }
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|_| Error::Answer(format!("{status} without a message")))?;
        match Error::in_body(status.as_u16(), &answer) {
            Some(error) => Err(error),
            None => Ok(Some(answer)),
        }
    }
}

/// The headers that a request over HTTP has, and a line has not.
fn with_headers(request: RequestBuilder, message: &Value, version: Option<&str>) -> RequestBuilder {
    let mut request = request
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream");
    let own = message
        .get("params")
        .and_then(|params| params.get("_meta")?.get(VERSION_KEY)?.as_str());
    if let Some(version) = own.or(version) {
        request = request.header("MCP-Protocol-Version", version);
    }
    if let Some(method) = message.get("method").and_then(Value::as_str) {
        request = request.header("Mcp-Method", header_value(method));
    }
    let names = ["/params/name", "/params/uri"];
    if let Some(name) = names.into_iter().find_map(|name| message.pointer(name)?.as_str()) {
        request = request.header("Mcp-Name", header_value(name));
    }
    request
}

/// The value of a header: as it stands, or in base64 between marks.
fn header_value(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_plain && text.trim() == text && !text.starts_with("=?") {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

fn failure(id: &Value, error: &Error) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": NO_ANSWER, "message": error.to_string() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_repeat_what_the_message_says() {
        let message = json!({
            "method": "tools/call",
            "params": { "name": "rün", "_meta": { VERSION_KEY: "2026-07-28" } },
        });
        let request = reqwest::Client::new().post("http://localhost");
        let request = with_headers(request, &message, Some("2025-11-25"))
            .build()
            .unwrap();
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("MCP-Protocol-Version"), "2026-07-28");
        assert_eq!(header("Mcp-Method"), "tools/call");
        assert_eq!(header("Mcp-Name"), "=?base64?csO8bg==?=");
    }
}
