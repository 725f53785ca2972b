//! Code: contexts, which are Jupyter kernels, the runs of code in them, and their results.

mod bundle;
mod request;
#[cfg(feature = "schema")]
mod schema;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::session::is_client_id;

pub use bundle::{Bundle, CHART, SHORT_NAMES, is_image, output_text};
pub use request::{
    ContextRequest, DEFAULT_LANGUAGE, DEFAULT_TIMEOUT_MS, RunCodeRequest, Target, parse_prewarm,
};

/// The largest body of a context, in bytes.
pub const MAX_CONTEXT_BODY: usize = 1024 * 1024;

/// The largest body of a run, in bytes. The code is most of it.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// The size from which on an image can be asked for by its URL, in bytes of its base64.
pub const LARGE_IMAGE: usize = 64 * 1024;

/// The id of a context: 1 to 128 characters of `a-zA-Z0-9._-`, without `..` and not `.`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(String);

impl ContextId {
    /// Parses an id as it stands in a URL or a body.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(id: &str) -> Result<Self, Invalid> {
        // In a URL, `.` is the same as nothing.
        if is_client_id(id) && id != "." {
            Ok(Self(id.to_owned()))
        } else {
            Err(Invalid::request("Invalid context ID format"))
        }
    }

    /// The id as it stands in URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A context: a Jupyter kernel with the variables of the code that ran in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// Its id.
    pub id: String,
    /// Its language, as the request for it names it.
    pub language: String,
    /// The directory that its kernel was started in.
    pub cwd: String,
    /// The time at which it was created: RFC 3339, in UTC.
    pub created_at: String,
    /// The time of the last run, or of its creation.
    pub last_used_at: String,
    /// The number of the last run that its kernel has counted; 0 before the first.
    pub execution_count: u64,
    /// The id of the process that is its kernel. Absent: the kernel has not been started yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_id: Option<String>,
    /// The reason why its variables are lost. Absent: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// The answer of `GET …/context`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContextList {
    /// The contexts, the oldest first.
    pub contexts: Vec<Context>,
}

/// A language that the sandbox has a kernel for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Language {
    /// The language.
    pub language: String,
    /// The name of the kernel, which `language` of a context may name, too.
    pub kernel: String,
    /// The version of the language. Absent until a context has started the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The answer of `GET …/language`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LanguageList {
    /// The languages, by their names.
    pub languages: Vec<Language>,
}

/// An exception of the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Exception {
    /// Its type, such as `ZeroDivisionError`.
    pub name: String,
    /// Its message.
    pub message: String,
    /// The traceback as plain text.
    pub traceback: Vec<String>,
    /// The traceback with the colors of a terminal, as the kernel gives it. Absent: it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traceback_ansi: Vec<String>,
    /// The line of the code that raised it, from 1. Absent: the traceback does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// The text that a run has written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Logs {
    /// To its standard output: one string, or none if it has written nothing.
    pub stdout: Vec<String>,
    /// To its standard error, in the same form.
    pub stderr: Vec<String>,
}

/// The answer of `POST …/run-code`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Whether the code has ended without an exception.
    pub success: bool,
    /// All text, in the order in which it came: the output, the text of results and the traceback.
    pub output: String,
    /// The output.
    pub logs: Logs,
    /// The displayed results, and the value of the last expression.
    pub results: Vec<Bundle>,
    /// The exception that has ended the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// The number of the run in its context. Absent: the kernel did not count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_count: Option<u64>,
    /// The time from the start of the code to its end, in milliseconds.
    pub duration_ms: u64,
    /// Whether the code was interrupted at its timeout.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// The context in which the code ran.
    pub context_id: String,
    /// The id of the run as a process, whose log can be asked for.
    pub process_id: String,
    /// Whether text in the middle, or a result, is missing because there was too much of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[cfg(test)]
mod tests;
