//! The Model Context Protocol.

use sandbox_protocol::mcp::{Message, SUPPORTED, Sent};
use sandbox_protocol::{ErrorBody, ErrorCode, Invalid, route_table};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::operation::{Operation, Required};
use crate::schema;

const TEXT: &str = "\
The Model Context Protocol over Streamable HTTP, without state: the revision 2026-07-28, and 2025-11-25, 2025-06-18 and 2025-03-26 for clients \
that begin with `initialize`. The tools make requests to the other operations with the credentials of the client, so each one needs the scope \
of its operations.

The answer is JSON. One that takes longer than 5 s begins with spaces, which JSON ignores. A tool that fails is a result with `isError`. \
Errors of the protocol are those of JSON-RPC: in the revision 2026-07-28, an unknown method is 404.";

pub fn operations() -> Vec<Operation> {
    vec![
        operation(route_table::Operation::CallMcp, "Call a tool").text(TEXT),
        operation(
            route_table::Operation::CallSandboxMcp,
            "Call a tool of one sandbox",
        )
        .text(
            "The same as `POST /v1/mcp` for the sandbox of the path: no tool takes the argument `sandbox`, and there is neither \
             `create_sandbox` nor `destroy_sandbox`.",
        )
        .answers(400, refused(true)),
    ]
}

fn operation(operation: route_table::Operation, summary: &'static str) -> Operation {
    let called = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "result": { "content": [{ "type": "text", "text": "hello\n[exit code 0]" }], "isError": false },
    });
    let unknown =
        json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32601, "message": "Method not found: x" } });
    Operation::new(operation, "Agents", summary)
        .parameter(
            "header",
            "MCP-Protocol-Version",
            "The revision. Absent: 2025-03-26.",
            json!({ "type": "string", "enum": SUPPORTED }),
        )
        .json_body::<Message>(
            Required::Yes,
            parse,
            &[
                (
                    "The tools",
                    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
                ),
                (
                    "A command",
                    json!({
                        "jsonrpc": "2.0",
                        "id": 2,
                        "method": "tools/call",
                        "params": {
                            "name": "run",
                            "arguments": { "sandbox": "gaytemzugu3doobzmfrggzdfmy", "command": "echo hello" },
                        },
                    }),
                ),
            ],
        )
        .answers(200, rpc("Message that answers the request").example(called))
        .answers(202, Answer::empty("Notification is accepted"))
        .answers(400, refused(false))
        .answers(
            404,
            rpc("Method does not exist in the revision 2026-07-28").example(unknown),
        )
        .answers(406, rpc("Client takes no JSON"))
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 4194304 bytes",
        )
}

fn parse(body: &[u8]) -> Result<(), Invalid> {
    Sent::parse(body)
        .map(drop)
        .map_err(|(fault, _)| Invalid::request(fault.message))
}

fn rpc(description: &str) -> Answer {
    Answer::new("application/json", message(), description)
}

/// A message that is refused. The error of a wrong id in the path has the form of all others.
fn refused(has_id: bool) -> Answer {
    let description = "Message is none, or its headers or parameters are wrong";
    let forms = [message(), schema::of_answer::<ErrorBody>()];
    let schema = if has_id {
        json!({ "anyOf": forms })
    } else {
        message()
    };
    Answer::new("application/json", schema, description).example(json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": { "code": -32700, "message": "Parse error: EOF while parsing a value at line 1 column 0" },
    }))
}

/// A response of JSON-RPC, or those of a batch.
fn message() -> Value {
    let response = json!({
        "type": "object",
        "required": ["jsonrpc", "id"],
        "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": { "type": ["string", "integer", "null"] },
            "result": { "type": "object" },
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": { "code": { "type": "integer" }, "message": { "type": "string" } },
            },
        },
    });
    json!({ "anyOf": [response, { "type": "array", "items": response }] })
}
