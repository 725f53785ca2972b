//! The JSON Schemas of a signal and of a wait.

use std::borrow::Cow;
use std::num::NonZeroU64;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::signal::{MAX_SIGNAL, SIGNALS};
use super::{MAX_PATTERN, SignalRequest, WaitRequest};
use crate::port::HttpCheck;

impl JsonSchema for SignalRequest {
    fn schema_name() -> Cow<'static, str> {
        "SignalRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The body of `POST …/signal`.",
            "type": "object",
            "properties": {
                "signal": {
                    "description": "The name of a signal, with or without `SIG`, or its number on Linux.",
                    "anyOf": [
                        { "type": "string", "pattern": format!("^(SIG)?({})$", SIGNALS.join("|")) },
                        { "type": "integer", "minimum": 1, "maximum": MAX_SIGNAL },
                    ],
                },
            },
            "required": ["signal"],
        })
    }
}

impl JsonSchema for WaitRequest {
    fn schema_name() -> Cow<'static, str> {
        "WaitRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut timeout = generator.subschema_for::<Option<NonZeroU64>>();
        timeout.insert("maximum".into(), u64::MAX.into());
        timeout.insert(
            "description".into(),
            "The longest time to wait, in milliseconds. Absent: until the process ends.".into(),
        );
        let mut port = HttpCheck::properties();
        port.insert(
            "port".into(),
            json!({
                "description": "The TCP port on which the process, or one that it started, listens.",
                "type": "integer",
                "minimum": 1,
                "maximum": 65535,
            }),
        );
        let log = json!({
            "pattern": {
                "description": "A regular expression of the Rust crate `regex`: without look-around and \
                                back-references. `^` and `$` match at lines. At most 4096 bytes.",
                "type": "string",
                "maxLength": MAX_PATTERN,
            },
            "stream": {
                "description": "The output that is searched. Absent: both.",
                "enum": ["stdout", "stderr", null],
            },
        });
        let wait = |name: &str, description: &str, required: &[&str], fields: &Value| {
            let mut properties = fields.as_object().cloned().unwrap_or_default();
            properties.insert("for".into(), json!({ "type": "string", "enum": [name] }));
            properties.insert("timeout_ms".into(), timeout.clone().to_value());
            let required = [&["for"], required].concat();
            json!({
                "description": description,
                "type": "object",
                "properties": properties,
                "required": required,
            })
        };
        json_schema!({
            "description": "The body of `POST …/wait`.",
            "oneOf": [
                wait("exit", "Waits for the end of the process.", &[], &Map::new().into()),
                wait("port", "Waits for a TCP port.", &["port"], &port.into()),
                wait("log", "Waits for output that matches.", &["pattern"], &log),
            ],
        })
    }
}
