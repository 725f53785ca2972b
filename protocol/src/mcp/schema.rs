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

#[cfg(test)]
mod tests {
    use schemars::schema_for;

    use super::*;
    use crate::mcp::{Field, TOOLS};
    use crate::preview::ExposeRequest;
    use crate::sandbox::CreateRequest;
    use crate::snapshot::SnapshotRequest;
    use crate::{ExecRequest, RunCodeRequest, file};

    /// The arguments that a tool has for itself or for a path.
    const OWN: [&str; 4] = ["wait_ms", "max_bytes", "port", "sandbox"];

    fn is_of(schema: &Schema, field: &Field) -> bool {
        schema.pointer(&format!("/properties/{}", field.name)).is_some()
    }

    #[test]
    fn arguments_are_fields_of_the_bodies_that_they_become() {
        for (name, schema) in [
            ("create_sandbox", schema_for!(CreateRequest)),
            ("run", schema_for!(ExecRequest)),
            ("run_code", schema_for!(RunCodeRequest)),
            ("edit", schema_for!(file::FileEdits)),
            ("search", schema_for!(file::SearchRequest)),
            ("expose_port", schema_for!(ExposeRequest)),
            ("snapshot", schema_for!(SnapshotRequest)),
        ] {
            let tool = TOOLS.iter().find(|tool| tool.name == name).unwrap();
            for field in tool.fields.iter().filter(|field| !OWN.contains(&field.name)) {
                assert!(is_of(&schema, field), "{name}: {}", field.name);
            }
        }
    }
}
