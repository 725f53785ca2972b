//! The Model Context Protocol: the official clients, and every tool.

use reqwest::{Method, Response};
use sandbar_tests::bridge::project_root;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::program::run_client;
use sandbar_tests::{Client, Sandbox};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{bridge, client, sandbox};

/// Every tool of `/v1/mcp`, in the order of the list.
const TOOLS: [&str; 13] = [
    "create_sandbox",
    "run",
    "process_output",
    "process_input",
    "run_code",
    "read",
    "write",
    "edit",
    "search",
    "list",
    "expose_port",
    "snapshot",
    "destroy_sandbox",
];

/// Calls a tool of the sandbox's own address. Returns the text, and whether it is an error.
pub async fn tool(sandbox: &Sandbox, name: &str, arguments: Value) -> (String, bool) {
    let result = result(sandbox, name, arguments).await;
    let is_error = result["isError"].as_bool().expect("isError");
    let text = result["content"][0]["text"].as_str().expect("a text").to_owned();
    (text, is_error)
}

/// The text of a tool that succeeds.
pub async fn text(sandbox: &Sandbox, name: &str, arguments: Value) -> String {
    let (text, is_error) = tool(sandbox, name, arguments).await;
    assert!(!is_error, "{name}: {text}");
    text
}

pub async fn result(sandbox: &Sandbox, name: &str, arguments: Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut reply = ok(sandbox.post("/mcp", &message).await).await;
    reply["result"].take()
}

/// Runs a client, and returns what it prints.
async fn run(command: &mut Command) -> Value {
    let text = run_client(command, bridge()).await;
    serde_json::from_str(&text).unwrap()
}

pub async fn run_javascript(arguments: &[&str]) -> Value {
    let mut node = Command::new(project_root().join("node_modules/.bin/node"));
    run(node
        .arg("clients/mcp.mjs")
        .args(arguments)
        .current_dir(project_root().join("tests")))
    .await
}

pub fn check_javascript(printed: &Value, revision: &str) {
    assert_eq!(printed["revision"], revision);
    assert_eq!(printed["tools"], json!(TOOLS));
    let texts = &printed["texts"];
    assert_eq!(texts["search"], "/workspace/notes/a.txt:2:1:zwei");
    assert_eq!(texts["list"], "notes/\nnotes/a.txt  9 bytes");
    assert_eq!(texts["process_output"], "got input\n[exit code 0]");
    let ran = texts["run"].as_str().unwrap();
    assert!(
        ran.contains("out\n") && ran.contains("err\n") && ran.ends_with("[exit code 3]"),
        "{ran}"
    );
}

#[tokio::test]
async fn the_javascript_client_of_the_current_revision_uses_the_tools() {
    check_javascript(&run_javascript(&["2"]).await, "2026-07-28");
}

#[tokio::test]
async fn the_javascript_client_of_earlier_revisions_uses_the_tools() {
    check_javascript(&run_javascript(&["1"]).await, "2025-11-25");
}

#[tokio::test]
async fn the_python_client_uses_the_tools_in_both_ways() {
    for (mode, revision) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let mut python = Command::new("python3");
        python
            .args(["tests/clients/mcp_client.py", mode])
            .current_dir(project_root());
        let printed = run(python.env("PYTHONPATH", project_root().join(".tools/python"))).await;
        assert_eq!(
            (&printed["revision"], &printed["tools"]),
            (&json!(revision), &json!(TOOLS))
        );
        assert_eq!(printed["texts"]["read"], "hello ü");
        assert_eq!(printed["texts"]["run"], "late\n[exit code 0]");
    }
}

#[tokio::test]
async fn a_tool_needs_the_scope_of_its_routes() {
    let sandbox = sandbox().await;
    let body = json!({ "sandbox": sandbox.id, "scopes": ["files:read"], "expiresIn": "10m" });
    let request = sandbox.client.request(Method::POST, "/v1/token").json(&body);
    let token = ok(request.send().await.unwrap()).await;
    let mut client: Client = sandbox.client.clone();
    client.bridge.key = token["token"].as_str().unwrap().to_owned();
    let reader = client.sandbox(&sandbox.id);
    sandbox.put("workspace/a", "text").await;
    assert_eq!(text(&reader, "read", json!({ "path": "a" })).await, "text");
    for (name, arguments, scope) in [
        ("run", json!({ "command": "true" }), "exec"),
        ("write", json!({ "path": "a", "content": "" }), "files:write"),
        ("expose_port", json!({ "port": 8000 }), "ports"),
    ] {
        let (told, is_error) = tool(&reader, name, arguments).await;
        assert!(
            is_error && told.contains(&format!("lacks the scope {scope} (forbidden)")),
            "{told}"
        );
    }
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let post = async |client: &Client, path: &str| -> Response {
        let request = client.request(Method::POST, path).json(&message);
        request.send().await.unwrap()
    };
    assert_error(post(&client, "/v1/mcp").await, 403, "forbidden").await;
    let other = format!("/v1/sandbox/{}x/mcp", sandbox.id);
    assert_error(post(&client, &other).await, 403, "forbidden").await;
    client.bridge.key = "wrong".to_owned();
    assert_error(post(&client, "/v1/mcp").await, 401, "unauthorized").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_port_gets_an_address_or_the_ways_that_work() {
    let sandbox = sandbox().await;
    let (told, is_error) = tool(&sandbox, "expose_port", json!({ "port": 8000 })).await;
    assert!(
        is_error && (told.contains("sandbox_not_found") || told.contains("PREVIEW_HOST")),
        "{told}"
    );
    text(&sandbox, "run", json!({ "command": "true" })).await;
    let (told, is_error) = tool(&sandbox, "expose_port", json!({ "port": 8000 })).await;
    assert!(
        is_error && told.contains("PREVIEW_HOST") || !is_error && told.contains("\"url\":\"http"),
        "{told}"
    );
    let (told, is_error) = tool(&sandbox, "expose_port", json!({ "port": 0 })).await;
    assert!(
        is_error && told.contains("port must be a whole number from 1 to 65535"),
        "{told}"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_named_sandbox_is_created_with_settings_and_destroyed() {
    let client = client();
    let name = format!("mcp-{}", client.create().await.id);
    let call = async |name: &str, arguments: Value| {
        let params = json!({ "name": name, "arguments": arguments });
        let message = json!({ "jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params });
        let request = client.request(Method::POST, "/v1/mcp").json(&message);
        let reply = ok(request.send().await.unwrap()).await;
        reply["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let settings = json!({ "name": name, "env": { "GREETING": "hello" } });
    let created = call("create_sandbox", settings.clone()).await;
    assert_eq!(call("create_sandbox", settings).await, created);
    let created: Value = serde_json::from_str(&created).unwrap();
    let command = json!({ "sandbox": created["sandbox"], "command": "echo $GREETING" });
    assert_eq!(call("run", command).await, "hello\n[exit code 0]");
    let destroyed = call("destroy_sandbox", json!({ "sandbox": created["sandbox"] })).await;
    assert!(destroyed.starts_with("destroyed "), "{destroyed}");
    let sandbox = client.sandbox(created["sandbox"].as_str().unwrap());
    assert!(!sandbox.running().await);
    assert_eq!(
        call("run", json!({ "sandbox": "NO", "command": "true" })).await,
        "Invalid sandbox ID format"
    );
}
