//! The log: a line of JSON each.

use serde::Serialize;
use wasm_bindgen::JsValue;
use web_sys::console;

/// The log line of a request. Except for the sandbox id it contains nothing that a client sent: no
/// key, no query, no body.
#[derive(Serialize)]
#[serde(tag = "message", rename = "request")]
pub struct RequestLine<'a> {
    /// Its method.
    pub method: &'a str,
    /// The pattern of its path.
    pub route: &'a str,
    /// The sandbox that the path names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<&'a str>,
    /// The status of the response.
    pub status: u16,
    /// The time until the response's headers; a stream goes on after that.
    pub duration_ms: u64,
    /// The message of a response with a status from 500 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Writes the line of a request.
pub fn request(line: &RequestLine) {
    info(line);
}

/// Writes a line.
pub fn info(line: &impl Serialize) {
    if let Some(line) = json(line) {
        console::log_1(&line);
    }
}

/// Writes a line about a fault.
pub fn warn(line: &impl Serialize) {
    if let Some(line) = json(line) {
        console::warn_1(&line);
    }
}

fn json(line: &impl Serialize) -> Option<JsValue> {
    serde_json::to_string(line).ok().map(JsValue::from)
}
