//! The JSON Schemas of fields that are parsed by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::schema::inline_schema;

/// A snapshot id.
pub struct Id;
inline_schema!(
    Id,
    json_schema!({ "type": "string", "pattern": "^[a-z2-7]{35}$" })
);

/// The value of `on`.
pub struct OnSleep;
inline_schema!(OnSleep, json_schema!({ "type": "string", "enum": ["sleep"] }));

/// A duration.
pub struct Duration;
inline_schema!(
    Duration,
    json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" })
);
