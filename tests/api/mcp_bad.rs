//! The Model Context Protocol: bad input.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::client;

pub fn post() -> RequestBuilder {
    client().request(Method::POST, "/v1/mcp")
}

/// Sends a body. Returns the status and the message.
pub async fn send(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn what_is_no_message_is_400_with_the_code_of_json_rpc() {
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("\"text\"", -32600),
        ("null", -32600),
        ("[]", -32600),
        ("[{}]", -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
    ] {
        let (status, reply) = send(post().body(body)).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (400, &json!(code)),
            "{body}: {reply}"
        );
        assert!(reply.as_object().unwrap().contains_key("id"), "{reply}");
    }
    let (status, reply) = send(post().body(vec![0xff_u8; 10])).await;
    assert_eq!((status, &reply["error"]["code"]), (400, &json!(-32700)));
    let large = send(post().body(" ".repeat(5 * 1024 * 1024))).await;
    assert_eq!((large.0, &large.1["code"]), (413, &json!("payload_too_large")));
}

#[tokio::test]
async fn clients_take_json_and_pages_of_other_origins_are_403() {
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    for (accept, expected) in [
        ("application/json, text/event-stream", 200),
        ("*/*", 200),
        ("text/event-stream", 406),
        ("text/html", 406),
    ] {
        let (status, _) = send(post().header("Accept", accept).json(&list)).await;
        assert_eq!(status, expected, "{accept}");
    }
    let own = client().bridge.url.clone();
    for (origin, expected) in [(own.as_str(), 200), ("https://evil.example", 403), ("null", 403)] {
        let (status, reply) = send(post().header("Origin", origin).json(&list)).await;
        assert_eq!(status, expected, "{origin}: {reply}");
    }
}

#[tokio::test]
async fn every_schema_is_a_schema_and_every_tool_says_what_it_does() {
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let (_, reply) = send(post().json(&list)).await;
    for tool in reply["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        let schema = &tool["inputSchema"];
        assert_eq!(
            (&schema["type"], &schema["additionalProperties"]),
            (&json!("object"), &json!(false)),
            "{name}"
        );
        for (field, schema) in schema["properties"].as_object().unwrap() {
            let about = schema["description"].as_str().unwrap();
            assert!(about.len() > 5 && schema["type"].is_string(), "{name} {field}");
        }
        let hints = tool["annotations"].as_object().unwrap();
        let reads = ["read", "search", "list", "process_output"].contains(&name);
        assert_eq!(hints["readOnlyHint"], reads, "{name}");
        let adds = ["create_sandbox", "expose_port", "snapshot"].contains(&name);
        assert_eq!(hints["destructiveHint"], !reads && !adds, "{name}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_told_to_the_model() {
    for (name, arguments, word) in [
        ("run", json!({ "sandbox": "abc" }), "command must be set"),
        ("run", json!({ "command": "true" }), "sandbox must be set"),
        (
            "run",
            json!({ "sandbox": "abc", "command": 1 }),
            "command must be a string",
        ),
        (
            "run",
            json!({ "sandbox": "abc", "command": "x", "cwd": "/etc" }),
            "cwd must resolve",
        ),
        (
            "run",
            json!({ "sandbox": "abc", "command": "x", "wait_ms": 600_001 }),
            "wait_ms must be",
        ),
        (
            "run",
            json!({ "sandbox": "abc", "comand": "x" }),
            "there is no argument comand",
        ),
        (
            "run",
            json!({ "sandbox": "a/../b", "command": "x" }),
            "Invalid sandbox ID format",
        ),
        (
            "read",
            json!({ "sandbox": "abc", "path": "" }),
            "path must not be empty",
        ),
        (
            "edit",
            json!({ "sandbox": "abc", "path": "a", "edits": [] }),
            "edits must be",
        ),
        (
            "expose_port",
            json!({ "sandbox": "abc", "port": 80, "access": "all" }),
            "access must be one of",
        ),
        ("create_sandbox", json!({ "sleepAfter": "soon" }), "sleepAfter"),
    ] {
        let params = json!({ "name": name, "arguments": arguments });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let (status, reply) = send(post().json(&message)).await;
        let text = reply["result"]["content"][0]["text"].as_str().unwrap();
        assert!(
            status == 200 && reply["result"]["isError"] == true && text.contains(word),
            "{name}: {text}"
        );
    }
}
