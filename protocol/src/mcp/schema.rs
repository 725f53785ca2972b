//! The JSON Schema of a message.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::Message;

impl JsonSchema for Message {
    fn schema_name() -> Cow<'static, str> {
        "McpMessage".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A message of JSON-RPC 2.0: a request, or without `id` a notification.",
            "type": "object",
            "required": ["jsonrpc", "method"],
            "properties": {
                "jsonrpc": { "type": "string", "enum": ["2.0"] },
                "id": {
                    "description": "The id of a request, which its answer repeats.",
                    "type": ["string", "integer"],
                },
                "method": {
                    "description": "The method: `server/discover`, `initialize`, `ping`, `tools/list` or `tools/call`.",
                    "type": "string",
                },
                "params": {
                    "description": "The parameters.",
                    "type": ["object", "null"],
                },
            },
        })
    }
}
