//! The JSON Schema of a run.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::RunCodeRequest;
use crate::schema::{LanguageName, Variables};
use crate::{ContextId, ProcessId, WorkspacePath};

impl JsonSchema for RunCodeRequest {
    fn schema_name() -> Cow<'static, str> {
        "RunCodeRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let described = |mut schema: Schema, description: &str| {
            schema.insert("description".into(), description.into());
            schema
        };
        let id = generator.subschema_for::<ContextId>();
        let context = json_schema!({
            "anyOf": [
                id,
                { "type": "object", "properties": { "id": id }, "required": ["id"] },
                { "type": "null" },
            ],
        });
        let number =
            |least: u64| json_schema!({ "type": ["integer", "null"], "minimum": least, "maximum": u64::MAX });
        let flag = || json_schema!({ "type": ["boolean", "null"] });
        json_schema!({
            "description": "The body of `POST …/run-code`. Unknown fields are ignored. A field that is `null` \
                            counts as absent.",
            "type": "object",
            "properties": {
                "code": { "description": "The code.", "type": "string" },
                "context": described(context.clone(), "The id of a context, or the answer of its creation. Absent: \
                                                       the default context of `language`."),
                "context_id": described(context, "The same as `context`, which takes precedence."),
                "language": described(
                    generator.subschema_for::<Option<LanguageName>>(),
                    "The language whose default context is used, or the name of a kernel. Default: `python`.",
                ),
                "cwd": described(
                    generator.subschema_for::<Option<WorkspacePath>>(),
                    "The directory of this run alone: a path within /workspace, or relative to it.",
                ),
                "env": described(
                    generator.subschema_for::<Option<Variables>>(),
                    "Environment variables of this run alone.",
                ),
                "timeout_ms": described(
                    number(1),
                    "The timeout in milliseconds, from the start of the code. Then it is interrupted. Default: 60000.",
                ),
                "detached": described(flag(), "Whether the code continues without its client. Default: false."),
                "linger_ms": described(
                    number(0),
                    "The time for which the code continues without its client, in milliseconds. Default: 0.",
                ),
                "id": described(
                    generator.subschema_for::<Option<ProcessId>>(),
                    "The id of the run as a process. Absent: a random one.",
                ),
                "image_urls": described(
                    flag(),
                    "Whether images over 64 KiB are left out of results, which then have their paths in `urls`. \
                     Default: false.",
                ),
            },
            "required": ["code"],
        })
    }
}
