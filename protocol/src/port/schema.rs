//! The schemas of the bodies of ports, for the OpenAPI document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{HttpCheck, PortWaitRequest, ServerPort};
use crate::sandboxd;

impl JsonSchema for ServerPort {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ServerPort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535, "not": { "const": sandboxd::PORT } })
    }
}

impl HttpCheck {
    /// The schemas of its fields.
    pub(crate) fn properties() -> Map<String, Value> {
        let path = json!({
            "description": "A path, percent-encoded, that the HTTP server on the port answers, too.",
            "type": ["string", "null"],
            "pattern": "^/[!-~]*$",
        });
        let status = json!({
            "description": "The status of that answer. Absent: any from 200 to 399. Needs `path`.",
            "type": ["integer", "null"],
            "minimum": 100,
            "maximum": 599,
        });
        Map::from_iter([("path".to_owned(), path), ("status".to_owned(), status)])
    }
}

impl JsonSchema for PortWaitRequest {
    fn schema_name() -> Cow<'static, str> {
        "PortWaitRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut properties = HttpCheck::properties();
        let timeout = json!({
            "description": "The longest time to wait, in milliseconds. Absent: until the client leaves.",
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": u64::MAX,
        });
        properties.insert("timeout_ms".into(), timeout);
        json_schema!({
            "description": "The body of `POST …/port/{port}/wait`.",
            "type": "object",
            "properties": properties,
        })
    }
}
