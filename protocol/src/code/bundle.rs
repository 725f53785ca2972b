//! Results: MIME bundles with short names beside them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The media type of the data of a chart.
pub const CHART: &str = "application/vnd.sandbar.chart+json";

/// The short names of media types.
pub const SHORT_NAMES: [(&str, &str); 11] = [
    ("text/plain", "text"),
    ("text/html", "html"),
    ("text/markdown", "markdown"),
    ("text/latex", "latex"),
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/svg+xml", "svg"),
    ("application/pdf", "pdf"),
    ("application/json", "json"),
    ("application/javascript", "javascript"),
    (CHART, "chart"),
];

/// A result: the forms of one displayed value, each under its media type and under its short name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// Whether it is the value of the last expression of the code.
    pub is_main: bool,
    /// The number of the run that counted it. Only for the value of an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_count: Option<u64>,
    /// The id of a display that can be updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_id: Option<String>,
    /// Whether it replaces the earlier result with the same `displayId`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_update: bool,
    /// The metadata of the kernel. Absent: there is none.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The paths of large images by their media types, for `GET`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub urls: Map<String, Value>,
    /// The forms of the value, by media type and by short name. Binary ones are base64.
    #[serde(flatten)]
    pub data: Map<String, Value>,
}

impl Eq for Bundle {}

impl Bundle {
    /// A result with the forms `data`, by media type: those that have a short name get it.
    pub fn new(data: Map<String, Value>, metadata: Map<String, Value>) -> Self {
        let short = |name: &str| SHORT_NAMES.iter().find(|(media_type, _)| *media_type == name);
        // Fields of the bundle itself are no media types.
        let mut all: Map<String, Value> = data.into_iter().filter(|(name, _)| name.contains('/')).collect();
        let named: Vec<_> = all
            .iter()
            .filter_map(|(name, value)| Some((short(name)?.1.to_owned(), value.clone())))
            .collect();
        all.extend(named);
        Self {
            is_main: false,
            execution_count: None,
            display_id: None,
            is_update: false,
            metadata,
            urls: Map::new(),
            data: all,
        }
    }

    /// Its plain text.
    pub fn text(&self) -> Option<&str> {
        self.data.get("text/plain").and_then(Value::as_str)
    }

    /// Removes a form, under both names.
    pub fn remove(&mut self, media_type: &str) {
        self.data.remove(media_type);
        if let Some((_, short)) = SHORT_NAMES.iter().find(|(name, _)| *name == media_type) {
            self.data.remove(*short);
        }
    }
}

/// Whether a media type is of images.
pub fn is_image(media_type: &str) -> bool {
    media_type.starts_with("image/")
}

/// Appends text of a result or a traceback to the output of a run, on lines of its own.
pub fn output_text(output: &mut Vec<u8>, text: &str) {
    if output.last().is_some_and(|byte| *byte != b'\n') {
        output.push(b'\n');
    }
    output.extend_from_slice(text.as_bytes());
    if !text.ends_with('\n') {
        output.push(b'\n');
    }
}
