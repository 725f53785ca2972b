//! The revisions of the Model Context Protocol, and the messages that each has.

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::mcp_bad::{post, send};

const CURRENT: &str = "2026-07-28";

/// A request of the current revision, with the headers for it.
fn current(method: &str, params: Value) -> (RequestBuilder, Value) {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": CURRENT,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let request = post()
        .header("MCP-Protocol-Version", CURRENT)
        .header("Mcp-Method", method);
    (
        request,
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }),
    )
}

#[tokio::test]
async fn earlier_revisions_begin_with_initialize_and_keep_nothing() {
    for (asked, answered) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        (CURRENT, "2025-11-25"),
    ] {
        let params = json!({ "protocolVersion": asked, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        let response = post().json(&message).send().await.unwrap();
        assert!(!response.headers().contains_key("mcp-session-id"));
        let reply: Value = response.json().await.unwrap();
        assert_eq!(reply["result"]["protocolVersion"], answered);
        assert_eq!(reply["result"]["capabilities"], json!({ "tools": {} }));
        assert!(reply["result"].get("resultType").is_none());
    }
    for (method, params, code) in [
        ("initialize", json!({}), -32602),
        ("server/discover", json!({}), -32601),
        ("resources/list", json!({}), -32601),
        ("tools/list", json!({ "cursor": "x" }), -32602),
        ("tools/call", json!({}), -32602),
        ("tools/call", json!({ "name": "none" }), -32602),
        ("tools/call", json!({ "name": "run", "arguments": [] }), -32602),
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, reply) = send(post().header("MCP-Protocol-Version", "2025-06-18").json(&message)).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (200, &json!(code)),
            "{method}: {reply}"
        );
    }
}

#[tokio::test]
async fn the_current_revision_has_no_handshake_and_holds_headers_against_the_body() {
    let (request, message) = current("server/discover", json!({}));
    let (status, reply) = send(request.json(&message)).await;
    assert_eq!((status, &reply["id"]), (200, &json!(7)));
    let result = &reply["result"];
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["supportedVersions"][0], CURRENT);
    assert!(result["ttlMs"].is_u64() && result["cacheScope"] == "public");
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "sandbar"
    );
    for method in ["ping", "initialize", "resources/list", "subscriptions/listen"] {
        let (request, message) = current(method, json!({}));
        let (status, reply) = send(request.json(&message)).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (404, &json!(-32601)),
            "{method}"
        );
    }
    let params = json!({ "name": "create_sandbox", "arguments": { "internet": "yes" } });
    let (request, message) = current("tools/call", params.clone());
    let (status, reply) = send(request.header("Mcp-Name", "create_sandbox").json(&message)).await;
    assert_eq!(
        (status, &reply["result"]["isError"]),
        (200, &json!(true)),
        "{reply}"
    );
    assert_eq!(reply["result"]["resultType"], "complete");
    let (without_name, message) = current("tools/call", params);
    let wrong_name = without_name.try_clone().unwrap().header("Mcp-Name", "run");
    let wrong_version = post()
        .header("MCP-Protocol-Version", "2025-11-25")
        .header("Mcp-Method", "tools/call");
    let no_version = post()
        .header("Mcp-Method", "tools/call")
        .header("Mcp-Name", "create_sandbox");
    for request in [without_name, wrong_name, wrong_version, no_version] {
        let (status, reply) = send(request.json(&message)).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (400, &json!(-32020)),
            "{reply}"
        );
        assert_eq!(reply["id"], 7);
    }
    let (request, mut message) = current("tools/list", json!({}));
    message["params"]["_meta"] = json!({});
    let (status, reply) = send(request.json(&message)).await;
    assert_eq!((status, &reply["error"]["code"]), (400, &json!(-32602)));
}

#[tokio::test]
async fn other_revisions_are_refused_with_those_that_work() {
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    for message in [&list, &notification, &json!([list])] {
        let (status, reply) = send(post().header("MCP-Protocol-Version", "1999-01-01").json(message)).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (400, &json!(-32022)),
            "{reply}"
        );
        assert_eq!(reply["error"]["data"]["requested"], "1999-01-01");
        let supported = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"];
        assert_eq!(reply["error"]["data"]["supported"], json!(supported));
    }
}

#[tokio::test]
async fn notifications_are_202_and_batches_belong_to_one_revision() {
    let notification =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    for version in [None, Some("2025-11-25"), Some(CURRENT)] {
        let mut headers = HeaderMap::new();
        if let Some(version) = version {
            headers.insert("mcp-protocol-version", version.parse().unwrap());
        }
        let (status, body) = send(post().headers(headers).json(&notification)).await;
        assert_eq!((status, body), (202, Value::String(String::new())), "{version:?}");
    }
    let (status, _) = send(post().json(&json!([notification, notification]))).await;
    assert_eq!(status, 202);
    let request = |id: Value, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
    let batch = json!([
        request(json!(1), "ping"),
        notification,
        request(json!("b"), "none"),
        request(json!(3), "initialize"),
    ]);
    for version in ["", "2025-03-26"] {
        let post = post();
        let post = if version.is_empty() {
            post
        } else {
            post.header("MCP-Protocol-Version", version)
        };
        let (status, replies) = send(post.json(&batch)).await;
        assert_eq!(status, 200);
        let replies = replies.as_array().unwrap();
        assert_eq!(replies[0], json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
        let codes: Vec<_> = replies[1..]
            .iter()
            .map(|reply| (&reply["id"], &reply["error"]["code"]))
            .collect();
        assert_eq!(
            codes,
            [(&json!("b"), &json!(-32601)), (&json!(3), &json!(-32600))]
        );
    }
    for version in ["2025-06-18", CURRENT] {
        let (status, reply) = send(post().header("MCP-Protocol-Version", version).json(&batch)).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (400, &json!(-32600)),
            "{version}"
        );
    }
}
