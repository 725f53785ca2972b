//! The form of a tool: its arguments, and what clients are told about it.

use serde_json::{Map, Value, json};

use crate::json::set;

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its effect, as a model is told.
    pub about: &'static str,
    /// Its effect, as a client is told.
    pub hints: Hints,
    /// Its arguments.
    pub fields: &'static [Field],
}

/// Annotations of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hints {
    /// It changes nothing.
    ReadOnly,
    /// It adds something, and changes nothing that is there.
    Adds,
    /// It may change or remove what is there, and reach other machines.
    Changes,
    /// It may change or remove what is there, in the sandbox alone. A second call changes nothing
    /// more.
    Replaces,
}

/// An argument of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name: that of the field or the parameter of the route, where it becomes one.
    pub name: &'static str,
    /// Its values.
    pub kind: Kind,
    /// Whether it is needed.
    pub required: bool,
    /// Its meaning, as a model is told.
    pub about: &'static str,
}

/// The values of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// A list of strings.
    Texts,
    /// An object of strings.
    Variables,
    /// The replacements of an edit.
    Edits,
}

impl Kind {
    /// The JSON Schema of its values.
    pub fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::OneOf(names) => json!({ "type": "string", "enum": names }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Number(first, last) => json!({ "type": "integer", "minimum": first, "maximum": last }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Variables => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            Self::Edits => json!({
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "old": { "type": "string", "minLength": 1 },
                        "new": { "type": "string" },
                        "all": { "type": "boolean" },
                    },
                    "required": ["old", "new"],
                },
            }),
        }
    }

    /// Its values, in words.
    pub fn words(self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::OneOf(names) => format!("one of {}", names.join(", ")),
            Self::Flag => "true or false".to_owned(),
            Self::Number(first, last) => format!("a whole number from {first} to {last}"),
            Self::Texts => "an array of strings".to_owned(),
            Self::Variables => "an object of strings".to_owned(),
            Self::Edits => "an array of objects with old and new".to_owned(),
        }
    }

    /// Whether a value is one of its values. The route checks the rest.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::OneOf(names) => value.as_str().is_some_and(|name| names.contains(&name)),
            Self::Flag => value.is_boolean(),
            Self::Number(first, last) => {
                crate::json::whole(value).is_some_and(|number| (first..=last).contains(&number))
            }
            Self::Texts => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Variables => value
                .as_object()
                .is_some_and(|fields| fields.values().all(Value::is_string)),
            Self::Edits => value
                .as_array()
                .is_some_and(|edits| !edits.is_empty() && edits.iter().all(Value::is_object)),
        }
    }
}

impl Tool {
    /// Its description in `tools/list`.
    pub fn describe(&self, fields: &[Field]) -> Value {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|field| {
                let mut schema = field.kind.schema();
                set(&mut schema, "description", field.about);
                (field.name.to_owned(), schema)
            })
            .collect();
        let required: Vec<&str> = fields
            .iter()
            .filter(|field| field.required)
            .map(|field| field.name)
            .collect();
        let mut schema = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            set(&mut schema, "required", required);
        }
        json!({
            "name": self.name,
            "title": self.title,
            "description": self.about,
            "inputSchema": schema,
            "annotations": self.hints.annotations(self.title),
        })
    }
}

impl Hints {
    fn annotations(self, title: &str) -> Value {
        let (read_only, destructive, idempotent, open_world) = match self {
            Self::ReadOnly => (true, false, true, false),
            Self::Adds => (false, false, false, true),
            Self::Changes => (false, true, false, true),
            Self::Replaces => (false, true, true, false),
        };
        json!({
            "title": title,
            "readOnlyHint": read_only,
            "destructiveHint": destructive,
            "idempotentHint": idempotent,
            "openWorldHint": open_world,
        })
    }
}
