//! The arguments of a call, checked.

use serde_json::{Map, Value};

use super::Field;
use crate::json::whole;

/// The arguments of a call of a tool: each is one of its fields, and has a value of that.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments(Map<String, Value>);

impl Arguments {
    /// Checks arguments. One that is `null` counts as absent.
    ///
    /// # Errors
    ///
    /// A text for the model, which names the argument.
    pub fn parse(fields: &[Field], mut arguments: Map<String, Value>) -> Result<Self, String> {
        arguments.retain(|_, value| !value.is_null());
        for (name, value) in &arguments {
            let Some(field) = fields.iter().find(|field| field.name == name) else {
                let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                return Err(format!(
                    "there is no argument {name}; there are {}",
                    names.join(", ")
                ));
            };
            if !field.kind.takes(value) {
                return Err(format!("{name} must be {}", field.kind.words()));
            }
        }
        let needed = fields.iter().filter(|field| field.required);
        for field in needed {
            if !arguments.contains_key(field.name) {
                return Err(format!("{} must be set: {}", field.name, field.about));
            }
        }
        Ok(Self(arguments))
    }

    /// A string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A flag; false when it is absent.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(whole)
    }

    /// Any value.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The arguments of these names, as the fields of a body.
    pub fn body(&self, names: &[&str]) -> Map<String, Value> {
        let named = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::Kind;

    const FIELDS: [Field; 3] = [
        Field {
            name: "path",
            kind: Kind::Text,
            required: true,
            about: "the file",
        },
        Field {
            name: "offset",
            kind: Kind::Number(0, 10),
            required: false,
            about: "",
        },
        Field {
            name: "env",
            kind: Kind::Variables,
            required: false,
            about: "",
        },
    ];

    fn parse(arguments: Value) -> Result<Arguments, String> {
        Arguments::parse(&FIELDS, arguments.as_object().unwrap().clone())
    }

    #[test]
    fn arguments_are_checked_by_their_fields() {
        let arguments = parse(json!({ "path": "a", "offset": 3.0, "env": null })).unwrap();
        assert_eq!(
            (arguments.text("path"), arguments.number("offset")),
            (Some("a"), Some(3))
        );
        assert_eq!(
            arguments.body(&["path", "env"]),
            *json!({ "path": "a" }).as_object().unwrap()
        );
        for (arguments, text) in [
            (json!({}), "path must be set: the file"),
            (json!({ "path": null }), "path must be set: the file"),
            (json!({ "path": 1 }), "path must be a string"),
            (
                json!({ "path": "a", "offset": 11 }),
                "offset must be a whole number from 0 to 10",
            ),
            (
                json!({ "path": "a", "env": { "A": 1 } }),
                "env must be an object of strings",
            ),
            (
                json!({ "path": "a", "x": 1 }),
                "there is no argument x; there are path, offset, env",
            ),
        ] {
            assert_eq!(parse(arguments).unwrap_err(), text);
        }
    }
}
