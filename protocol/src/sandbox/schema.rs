//! The JSON Schemas of settings and of sizes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::instance::NAMES;
use super::{CreateRequest, Instance, MAX_LABEL, MAX_LABELS, MAX_NAME, SettingsPatch};
use crate::SandboxId;
use crate::snapshot::AutoSave;

impl JsonSchema for Instance {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Instance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let natural = json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX });
        json_schema!({
            "anyOf": [
                { "type": "string", "enum": NAMES },
                {
                    "type": "object",
                    "properties": {
                        "vcpu": { "type": "number", "exclusiveMinimum": 0 },
                        "memoryMib": natural,
                        "diskMb": natural,
                    },
                    "required": ["vcpu", "memoryMib", "diskMb"],
                },
            ],
        })
    }
}

/// The properties of the settings, all of which can be `null`.
fn settings(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let duration = |also: &str| format!("^([0-9]+(ms|s|m|h){also})$");
    let properties = json!({
        "name": {
            "description": "A name from which the id is derived: the same name gives the same sandbox, and cannot be changed.",
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": MAX_NAME,
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
        },
        "env": {
            "description": "Variables of every later command, process and terminal. They are merged by their names; `null` removes \
                            one. At most 64 KiB. Their values are never shown.",
            "type": ["object", "null"],
            "propertyNames": { "pattern": r"^[^=\u0000]+$" },
            "additionalProperties": { "type": ["string", "null"], "pattern": r"^[^\u0000]*$" },
        },
        "labels": {
            "description": "Labels, by which sandboxes can be listed. They are merged by their keys; `null` removes one.",
            "type": ["object", "null"],
            "maxProperties": MAX_LABELS,
            "propertyNames": { "pattern": format!("^[a-zA-Z0-9._/-]{{1,{MAX_LABEL}}}$") },
            "additionalProperties": {
                "type": ["string", "null"],
                "maxLength": MAX_LABEL,
                "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
            },
        },
        "sleepAfter": {
            "description": "The idle time after which it is put to sleep, like `10m`, at most `24h`, or `never`. Absent: that of the \
                            deployment.",
            "type": ["string", "null"],
            "pattern": duration("|never"),
        },
        "keepAlive": {
            "description": "Whether it is never put to sleep.",
            "type": ["boolean", "null"],
        },
        "maxLifetime": {
            "description": "The time after its creation at which it is destroyed, like `24h`, whether or not it is in use.",
            "type": ["string", "null"],
            "pattern": duration(""),
        },
        "internet": {
            "description": "Whether it has a network. Absent: true. Takes effect with the next start.",
            "type": ["boolean", "null"],
        },
        "image": {
            "description": "The name of an image of the deployment. Takes effect with the next start. 501 where there is only one.",
            "type": ["string", "null"],
            "pattern": "^[a-zA-Z0-9_-]{1,64}$",
        },
        "instance": {
            "description": "Its size: a name of the platform, or numbers. Takes effect with the next start. 501 where there is only one.",
            "anyOf": [Instance::json_schema(generator), { "type": "null" }],
        },
        "snapshot": {
            "description": "The id of the snapshot that its workspace begins with, at each start without a later `autoSave`. 501 \
                            where no store of snapshots is configured.",
            "type": ["string", "null"],
            "pattern": "^[a-z2-7]{35}$",
        },
        "autoSave": {
            "description": "Whether its workspace is saved before it sleeps, and restored by the next start. 501 where no store of \
                            snapshots is configured.",
            "anyOf": [AutoSave::json_schema(generator), { "type": "null" }],
        },
    });
    match properties {
        Value::Object(properties) => properties,
        _ => Map::new(),
    }
}

impl JsonSchema for SettingsPatch {
    fn schema_name() -> Cow<'static, str> {
        "SandboxSettings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Changes of the settings of a sandbox, as a JSON merge patch: a field that is absent stays, `null` sets it \
                            back to its default.",
            "type": "object",
            "properties": settings(generator),
        })
    }
}

impl JsonSchema for CreateRequest {
    fn schema_name() -> Cow<'static, str> {
        "CreateSandboxRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut id = generator.subschema_for::<Option<SandboxId>>();
        id.insert(
            "description".into(),
            "The id of the sandbox. Absent: that of its name, or a new one.".into(),
        );
        let mut properties = settings(generator);
        properties.insert("id".into(), id.to_value());
        json_schema!({
            "description": "The body of `POST /v1/sandbox`. Unknown fields are ignored, and a body that has none of these counts as none.",
            "type": "object",
            "properties": properties,
        })
    }
}
