//! JSON Schemas of types that are parsed by hand, or are narrower than their Rust type says. Each
//! states a rule of its parser for clients' tools; a property test compares the two.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::answer::True;
use crate::file::{FileMode, FilePath};
use crate::tunnel::{Port, TunnelName};
use crate::{ContextId, ProcessId, SandboxId, SessionId, WorkspacePath, sandboxd};

/// `inline_schema!(Type, schema)`: the schema is inlined wherever the type is used, without a name of its
/// own.
macro_rules! inline_schema {
    ($type:ty, $schema:expr) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

pub(crate) use inline_schema;

/// No NUL: the kernel's strings end at one.
const NO_NUL: &str = r"^[^\u0000]*$";

/// Text that the kernel is given: it cannot have a NUL.
pub struct Text;
inline_schema!(Text, json_schema!({ "type": "string", "pattern": NO_NUL }));

/// Environment variables.
pub struct Variables;
inline_schema!(
    Variables,
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": r"^[^=\u0000]+$" },
        "additionalProperties": { "type": "string", "pattern": NO_NUL },
    })
);

/// The URL of a git repository.
pub struct RepoUrl;
inline_schema!(
    RepoUrl,
    json_schema!({ "type": "string", "pattern": "^(https?://|ssh://|git@)[!-~]+$" })
);

/// The name of a branch, a tag or a commit.
pub struct RefName;
inline_schema!(
    RefName,
    json_schema!({ "type": "string", "pattern": r"^[^\u0000-\u0020\u007f~^:?*\[\\]+$" })
);

/// The name of a language or of a kernel.
pub struct LanguageName;
inline_schema!(
    LanguageName,
    json_schema!({ "type": "string", "pattern": "^[a-zA-Z0-9._+#-]{1,100}$" })
);

/// A token: a line of text.
pub struct Token;
inline_schema!(
    Token,
    json_schema!({ "type": "string", "pattern": r"^[^\u0000-\u001f\u007f]+$" })
);

/// A user name of HTTP.
pub struct UserName;
inline_schema!(
    UserName,
    json_schema!({ "type": "string", "pattern": r"^[^\u0000-\u001f\u007f:]+$" })
);

/// Bytes: as text, or as padded base64.
pub struct Bytes;
inline_schema!(
    Bytes,
    json_schema!({
        "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "properties": {
                    "base64": {
                        "type": "string",
                        "contentEncoding": "base64",
                        // Canonical: the unused bits are zero.
                        "pattern": concat!(
                            "^([A-Za-z0-9+/]{4})*",
                            "([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
                        ),
                    },
                },
                "required": ["base64"],
            },
        ],
    })
);

/// A time in UTC.
pub struct Time;
inline_schema!(
    Time,
    json_schema!({
        "type": "string",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$",
    })
);

inline_schema!(True, json_schema!({ "type": "boolean", "enum": [true] }));
inline_schema!(
    SandboxId,
    json_schema!({ "type": "string", "pattern": "^[a-z2-7]{1,128}$" })
);
inline_schema!(
    SessionId,
    json_schema!({ "type": "string", "pattern": "^[a-zA-Z0-9._-]{1,128}$", "not": { "type": "string", "pattern": r"\.\." } })
);
inline_schema!(
    ProcessId,
    json_schema!({ "type": "string", "pattern": "^([a-zA-Z0-9_-]|[a-zA-Z0-9._-]{2,128})$", "not": { "type": "string", "pattern": r"\.\." } })
);
inline_schema!(
    ContextId,
    json_schema!({ "type": "string", "pattern": "^([a-zA-Z0-9_-]|[a-zA-Z0-9._-]{2,128})$", "not": { "type": "string", "pattern": r"\.\." } })
);
inline_schema!(
    WorkspacePath,
    json_schema!({ "type": "string", "minLength": 1, "pattern": NO_NUL })
);
inline_schema!(
    FilePath,
    json_schema!({ "type": "string", "minLength": 1, "pattern": NO_NUL })
);
inline_schema!(
    FileMode,
    json_schema!({ "type": "string", "pattern": "^0?[0-7]{1,3}$" })
);
inline_schema!(
    Port,
    json_schema!({ "type": "integer", "minimum": 1024, "maximum": 65535, "not": { "const": sandboxd::PORT } })
);
inline_schema!(
    TunnelName,
    json_schema!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" })
);
