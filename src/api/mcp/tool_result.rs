//! The parts that every result of a tool consists of, and the limit of their length. Each tool writes its
//! own text: that of `run`, with `[exit code N]`, is in `run.rs`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox_protocol::Invalid;
use sandbox_protocol::mcp::{Arguments, DEFAULT_OUTPUT, LogPosition, Truncated};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;

use crate::error::ApiError;

/// The result of a tool.
pub struct ToolResult {
    items: Vec<Value>,
    is_error: bool,
}

/// The reason why a call of a tool failed, as the model is told.
pub struct Failure(pub String);

impl ToolResult {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            items: vec![json!({ "type": "text", "text": text.into() })],
            is_error: false,
        }
    }

    /// An image, beside what is there.
    pub fn with_image(mut self, media_type: &str, base64: &str) -> Self {
        self.items
            .push(json!({ "type": "image", "mimeType": media_type, "data": base64 }));
        self
    }

    /// An image alone.
    pub fn image(media_type: &str, bytes: &[u8]) -> Self {
        let nothing = Self {
            items: Vec::new(),
            is_error: false,
        };
        nothing.with_image(media_type, &STANDARD.encode(bytes))
    }

    /// The result of `tools/call`.
    pub fn into_result(self) -> Value {
        json!({ "content": self.items, "isError": self.is_error })
    }
}

impl From<Failure> for ToolResult {
    fn from(failure: Failure) -> Self {
        Self {
            is_error: true,
            ..Self::text(failure.0)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error.body().error)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self(invalid.message().to_owned())
    }
}

impl From<JsValue> for Failure {
    fn from(thrown: JsValue) -> Self {
        ApiError::from(thrown).into()
    }
}

/// The most bytes of output that a call wants.
pub fn limit(arguments: &Arguments) -> usize {
    let limit = arguments.number("max_bytes");
    limit.map_or(DEFAULT_OUTPUT, |limit| limit as usize)
}

/// A text of which the middle is left out when it is too long. `advice` says how to get the rest.
pub fn cut(text: &str, limit: usize, advice: &str) -> String {
    let mut output = Truncated::new(limit);
    output.push(
        LogPosition {
            event_id: 0,
            byte_offset: 0,
        },
        text.as_bytes(),
    );
    output.finish(|left_out, _| format!("[{left_out} bytes left out: {advice}]"))
}
