//! `POST /v1/mcp` and `POST /v1/sandbox/{id}/mcp`: the Model Context Protocol over Streamable HTTP,
//! without state.
//!
//! A call of a tool makes requests to other routes ([`calls::Calls`]), with the credentials of its
//! client, through the same router: a tool has the checks, the scopes and the errors of its routes.
//! Answers are JSON. One that takes long begins with spaces, which JSON ignores.

mod calls;
mod code;
mod file;
mod process;
mod run;
mod sandbox;
mod tool_result;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use sandbox_protocol::json::set;
use sandbox_protocol::mcp::{
    Arguments, CURRENT, Fault, Message, Request, RequestHeaders, Revision, SUPPORTED, Sent, tools,
};
use sandbox_protocol::{FileRoots, SandboxId, mcp};
use serde_json::{Map, Value, json};
use web_sys::Response;
use worker::Env;

use self::calls::Calls;
use self::tool_result::{Failure, ToolResult};
use crate::body;
use crate::caller::Caller;
use crate::config::Config;
use crate::error::ApiError;
use crate::{heartbeat, response};

/// The text for models about all tools together.
const INSTRUCTIONS: &str = "Linux sandboxes. Files are in /workspace, and are lost when the sandbox sleeps or ends, unless it \
                            saves them: see the tool snapshot. Long output loses its middle: the result says how to read the rest.";

/// The milliseconds for which a client may keep the lists: they change with a deploy only.
const TTL_MS: u64 = 300_000;

/// An endpoint for one request.
struct Server {
    /// The sandbox of the path; `None`: tools take it as an argument.
    sandbox: Option<SandboxId>,
    roots: FileRoots,
    calls: Calls,
}

/// A request, as far as it is known at once.
enum Asked {
    /// This result.
    Known(Value),
    /// A call of this tool, with its arguments or what is wrong with them.
    Call(&'static str, Result<Arguments, String>),
}

/// 200 with the message that answers a request; 202 for a notification; 400 and 404 with an error of
/// JSON-RPC.
pub async fn serve(
    env: &Env,
    config: &Config,
    sandbox: Option<&SandboxId>,
    caller: &Caller,
    request: &web_sys::Request,
) -> Result<Response, ApiError> {
    let header = |name: &str| request.headers().get(name);
    if !header("accept")?.is_none_or(|accept| accepts_json(&accept)) {
        let fault = Fault::new(Fault::INVALID_REQUEST, "Accept must name application/json");
        return refuse(406, &fault, &Value::Null);
    }
    let body = body::read(request, mcp::MAX_BODY).await?;
    let sent = match Sent::parse(&body) {
        Ok(sent) => sent,
        Err((fault, id)) => return refuse(400, &fault, &id),
    };
    let headers = RequestHeaders {
        version: header("mcp-protocol-version")?,
        method: header("mcp-method")?,
        name: header("mcp-name")?,
    };
    let server = Server {
        sandbox: sandbox.cloned(),
        roots: config.file_roots.clone(),
        calls: Calls::new(env, caller, request)?,
    };
    let of_headers = Revision::of_headers(&headers);
    match (sent, of_headers) {
        (Sent::One(Message::Request(request)), _) => server.answer(&headers, request).await,
        (_, Err(fault)) => refuse(400, &fault, &Value::Null),
        (Sent::One(Message::Notification), Ok(_)) => response::empty(202),
        (Sent::Batch(messages), Ok(Revision::Earlier { has_batches: true })) => {
            server.answer_batch(messages).await
        }
        (Sent::Batch(_), Ok(_)) => {
            let fault = Fault::new(Fault::INVALID_REQUEST, "this revision has no batches");
            refuse(400, &fault, &Value::Null)
        }
    }
}

impl Server {
    async fn answer(self, headers: &RequestHeaders, request: Request) -> Result<Response, ApiError> {
        let revision = match Revision::of_request(headers, &request) {
            Ok(revision) => revision,
            Err(fault) => return refuse(400, &fault, &request.id),
        };
        match self.prepare(revision, &request) {
            Ok(asked) => {
                let reply = async move { Ok(request.reply(complete(self.result(asked).await, revision))) };
                heartbeat::json(reply).await
            }
            Err(fault) => {
                let status = if revision == Revision::Current {
                    fault.status()
                } else {
                    200
                };
                refuse(status, &fault, &request.id)
            }
        }
    }

    /// The answers of all requests, one after the other; 202 where there are none.
    async fn answer_batch(self, messages: Vec<Message>) -> Result<Response, ApiError> {
        let is_request = |message| match message {
            Message::Request(request) => Some(request),
            Message::Notification => None,
        };
        let requests: Vec<Request> = messages.into_iter().filter_map(is_request).collect();
        if requests.is_empty() {
            return response::empty(202);
        }
        let replies = async move {
            let mut replies = Vec::new();
            for request in requests {
                let asked = match request.method.as_str() {
                    "initialize" => Err(Fault::new(Fault::INVALID_REQUEST, "initialize stands alone")),
                    _ => self.prepare(Revision::Earlier { has_batches: true }, &request),
                };
                replies.push(match asked {
                    Ok(asked) => request.reply(self.result(asked).await),
                    Err(fault) => fault.reply(&request.id),
                });
            }
            Ok(Value::Array(replies))
        };
        heartbeat::json(replies).await
    }

    fn prepare(&self, revision: Revision, request: &Request) -> Result<Asked, Fault> {
        let is_current = revision == Revision::Current;
        let params = &request.params;
        Ok(match request.method.as_str() {
            "server/discover" if is_current => Asked::Known(json!({
                "supportedVersions": SUPPORTED,
                "capabilities": { "tools": {} },
                "instructions": INSTRUCTIONS,
            })),
            "initialize" if !is_current => Asked::Known(initialize(params)?),
            "ping" if !is_current => Asked::Known(json!({})),
            "tools/list" if params.get("cursor").is_none_or(Value::is_null) => {
                let described = tools(self.sandbox.is_some()).map(|(tool, fields)| tool.describe(&fields));
                Asked::Known(json!({ "tools": described.collect::<Vec<_>>() }))
            }
            "tools/list" => return Err(Fault::params("there is no further page")),
            "tools/call" => self.tool(params)?,
            method => {
                let message = format!("Method not found: {method}. The current revision is {CURRENT}");
                return Err(Fault::new(Fault::METHOD_NOT_FOUND, message));
            }
        })
    }

    fn tool(&self, params: &Map<String, Value>) -> Result<Asked, Fault> {
        let name = params.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| Fault::params("name must be a string"))?;
        let arguments = match params.get("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(_) => return Err(Fault::params("arguments must be an object")),
        };
        let found = tools(self.sandbox.is_some()).find(|(tool, _)| tool.name == name);
        let (tool, fields) = found.ok_or_else(|| Fault::params(format!("Unknown tool: {name}")))?;
        Ok(Asked::Call(tool.name, Arguments::parse(&fields, arguments)))
    }

    async fn result(&self, asked: Asked) -> Value {
        let called = match asked {
            Asked::Known(result) => return result,
            Asked::Call(_, Err(text)) => Err(Failure(text)),
            Asked::Call(tool, Ok(arguments)) => self.call(tool, &arguments).await,
        };
        called.unwrap_or_else(ToolResult::from).into_result()
    }

    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a Arguments,
    ) -> LocalBoxFuture<'a, Result<ToolResult, Failure>> {
        match tool {
            "create_sandbox" => self.create_sandbox(arguments).boxed_local(),
            "destroy_sandbox" => self.destroy_sandbox(arguments).boxed_local(),
            "expose_port" => self.expose_port(arguments).boxed_local(),
            "snapshot" => self.snapshot(arguments).boxed_local(),
            "run" => self.run(arguments).boxed_local(),
            "process_output" => self.process_output(arguments).boxed_local(),
            "process_input" => self.process_input(arguments).boxed_local(),
            "run_code" => self.run_code(arguments).boxed_local(),
            "read" => self.read(arguments).boxed_local(),
            "write" => self.write(arguments).boxed_local(),
            "edit" => self.edit(arguments).boxed_local(),
            "search" => self.search(arguments).boxed_local(),
            "list" => self.list(arguments).boxed_local(),
            _ => async move { Err(Failure(format!("there is no tool {tool}"))) }.boxed_local(),
        }
    }

    /// The sandbox of a call: that of the path, or that of the argument.
    fn sandbox(&self, arguments: &Arguments) -> Result<SandboxId, Failure> {
        match &self.sandbox {
            Some(sandbox) => Ok(sandbox.clone()),
            None => Ok(SandboxId::parse(
                arguments.text(mcp::SANDBOX.name).unwrap_or_default(),
            )?),
        }
    }
}

fn initialize(params: &Map<String, Value>) -> Result<Value, Fault> {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let asked = asked.ok_or_else(|| Fault::params("protocolVersion must be a string"))?;
    Ok(json!({
        "protocolVersion": Revision::negotiated(asked),
        "capabilities": { "tools": {} },
        "serverInfo": server_info(),
        "instructions": INSTRUCTIONS,
    }))
}

fn server_info() -> Value {
    json!({ "name": "sandbar", "title": "Sandbar", "version": env!("CARGO_PKG_VERSION") })
}

/// Adds what the current revision has in every result, and in those that clients may keep.
fn complete(mut result: Value, revision: Revision) -> Value {
    if revision == Revision::Current {
        set(&mut result, "resultType", "complete");
        set(
            &mut result,
            "_meta",
            json!({ "io.modelcontextprotocol/serverInfo": server_info() }),
        );
        if result.get("tools").is_some() || result.get("supportedVersions").is_some() {
            set(&mut result, "ttlMs", TTL_MS);
            set(&mut result, "cacheScope", "public");
        }
    }
    result
}

fn refuse(status: u16, fault: &Fault, id: &Value) -> Result<Response, ApiError> {
    response::json(status, &fault.reply(id))
}

/// Whether a client takes JSON.
fn accepts_json(accept: &str) -> bool {
    let kinds = accept
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let is_json = |kind: &str| ["application/json", "application/*", "*/*"].contains(&kind);
    kinds.map(str::to_ascii_lowercase).any(|kind| is_json(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_take_no_json_are_told_apart() {
        for accept in [
            "application/json, text/event-stream",
            "text/event-stream;q=0.5,Application/JSON;q=0.1",
            "*/*",
            "application/*",
        ] {
            assert!(accepts_json(accept), "{accept}");
        }
        for accept in ["", "text/event-stream", "application/jsonl", "text/*"] {
            assert!(!accepts_json(accept), "{accept}");
        }
    }
}
