//! The responses of an operation, one per status.

use sandbox_protocol::ErrorCode;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::failure::code_name;
use crate::schema;

/// A response of one status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The meaning of the status, in Markdown.
    pub description: String,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Its body, if it has one: by media type if there are several.
    pub contents: Vec<Content>,
    /// The codes of its error body, or of the `error` event of its stream.
    pub codes: Vec<String>,
}

/// A header of a response.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// The name.
    pub name: &'static str,
    /// The meaning of its value, in Markdown.
    pub description: &'static str,
    /// The type of its value.
    pub kind: &'static str,
}

impl Header {
    /// A header whose value is text.
    pub const fn text(name: &'static str, description: &'static str) -> Self {
        Self {
            name,
            description,
            kind: "string",
        }
    }
}

/// A body.
#[derive(Debug, Clone)]
pub struct Content {
    /// The media type.
    pub media_type: &'static str,
    /// The schema, which may point into the document's components.
    pub schema: Value,
    /// Bodies of that kind, by a name.
    pub examples: Vec<(String, Value)>,
}

impl Content {
    /// Returns what the document has of it under its media type.
    fn write(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("schema".into(), self.schema.clone());
        if !self.examples.is_empty() {
            let examples = self.examples.iter();
            let examples = examples.map(|(name, value)| (name.clone(), json!({ "value": value })));
            fields.insert("examples".into(), Value::Object(examples.collect()));
        }
        fields.into()
    }
}

/// Returns bodies as they are in the document.
pub fn write_contents(contents: &[Content]) -> Value {
    let written = contents.iter();
    let written = written.map(|content| (content.media_type.to_owned(), content.write()));
    Value::Object(written.collect())
}

impl Answer {
    /// An answer without a body.
    pub fn empty(description: impl Into<String>) -> Self {
        Self {
            description: description.into(),
            headers: Vec::new(),
            contents: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// An answer with a JSON body.
    pub fn json<T: JsonSchema>(description: impl Into<String>, example: Value) -> Self {
        Self::new("application/json", schema::of_answer::<T>(), description).example(example)
    }

    /// An answer with a body of bytes.
    pub fn bytes(description: &str) -> Self {
        Self::new("application/octet-stream", bytes(), description)
    }

    /// An answer with a body of text.
    pub fn text(media_type: &'static str, description: &str) -> Self {
        Self::new(media_type, json!({ "type": "string" }), description)
    }

    /// An answer with a body of some schema.
    pub fn new(media_type: &'static str, schema: Value, description: impl Into<String>) -> Self {
        let content = Content {
            media_type,
            schema,
            examples: Vec::new(),
        };
        Self {
            contents: vec![content],
            ..Self::empty(description)
        }
    }

    /// A body that it may have.
    pub fn example(mut self, example: Value) -> Self {
        if let Some(content) = self.contents.last_mut() {
            content.examples.push(("example".into(), example));
        }
        self
    }

    /// The body of `other`, too, for clients that accept its media type.
    pub fn or(mut self, other: Self) -> Self {
        self.contents.extend(other.contents);
        self
    }

    /// A header that it has.
    pub fn header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    /// Codes that the `error` event of its stream can have.
    pub fn codes(mut self, codes: &[ErrorCode]) -> Self {
        self.codes = codes.iter().map(|code| code_name(*code)).collect();
        self
    }

    /// The same without the body, for `HEAD`.
    pub fn without_body(self) -> Self {
        Self {
            contents: Vec::new(),
            ..self
        }
    }

    /// Returns it as it is in the document.
    pub fn write(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("description".into(), self.description.clone().into());
        if !self.headers.is_empty() {
            let written = |header: &Header| {
                let schema = json!({ "type": header.kind });
                let value = json!({ "description": header.description, "schema": schema });
                (header.name.to_owned(), value)
            };
            let headers = self.headers.iter().map(written);
            fields.insert("headers".into(), Value::Object(headers.collect()));
        }
        if !self.contents.is_empty() {
            fields.insert("content".into(), write_contents(&self.contents));
        }
        if !self.codes.is_empty() {
            fields.insert("x-error-codes".into(), self.codes.clone().into());
        }
        fields.into()
    }
}

/// The schema of bytes.
pub fn bytes() -> Value {
    json!({ "type": "string", "format": "binary" })
}
