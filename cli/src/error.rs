//! The errors of the program, each one line for people.

use std::error::Error as _;
use std::io;

use sandbox_protocol::ErrorCode;
use serde_json::Value;

/// The result of a step.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the program could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line, or the environment, is wrong.
    #[error("{0}")]
    Usage(String),
    /// No connection: nothing was sent.
    #[error("the bridge cannot be reached: {0}")]
    Unreachable(String),
    /// There was no answer, or not all of it. The request may have been carried out.
    #[error("the connection was lost: {0}")]
    ConnectionLost(String),
    /// The bridge has refused a request, or an operation has failed.
    #[error("{message}")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// The code of the error; empty for an answer that is none of the bridge.
        code: String,
        /// The text of the error.
        message: String,
        /// The offset of the next byte of a standard input.
        offset: Option<u64>,
    },
    /// The answer has another form than that of a bridge.
    #[error("not an answer of a bridge: {0}")]
    Answer(String),
    /// The end of a command is not known.
    #[error("the end of the command is not known: {0}")]
    Interrupted(String),
    /// Something of this machine failed.
    #[error("{what}: {source}")]
    Io {
        /// The thing that failed: a file, for example.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// A signal has ended the program.
    #[error("ended by a signal")]
    Signal(i32),
}

impl Error {
    /// An error about `what`, for `map_err`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    /// The error that a request ended with, without its address.
    pub fn from_transport(error: reqwest::Error) -> Self {
        let is_connect = error.is_connect();
        if error.is_builder() {
            return Self::Usage(chain(&error.without_url()));
        }
        let text = chain(&error.without_url());
        if is_connect {
            Self::Unreachable(text)
        } else {
            Self::ConnectionLost(text)
        }
    }

    /// The error in the body of an answer, if it is one. Answers with status 200 may be errors, too.
    pub fn in_body(status: u16, body: &Value) -> Option<Self> {
        let text = |name: &str| body.get(name)?.as_str().map(str::to_owned);
        Some(Self::Refused {
            status,
            code: text("code")?,
            message: text("error")?,
            offset: body.get("offset").and_then(Value::as_u64),
        })
    }

    /// Whether this is the bridge's error with a code.
    pub fn has_code(&self, wanted: ErrorCode) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted.to_string())
    }

    /// Whether a request whose repetition is harmless is worth another attempt.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::ConnectionLost(_) | Self::Unreachable(_))
            || self.has_code(ErrorCode::ExecTransportError)
    }

    /// Whether the reader of this program's output is gone.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The text of an error and of its causes.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

/// A text as one line that leaves the terminal alone: the text of a sandbox may have anything in it.
pub fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_found_in_a_body() {
        let body = json!({ "error": "no", "code": "stdin_offset", "offset": 7 });
        let error = Error::in_body(409, &body).unwrap();
        assert!(error.has_code(ErrorCode::StdinOffset) && !error.is_lost());
        assert_eq!(error.to_string(), "no");
        assert!(Error::in_body(200, &json!({ "error": "only a text" })).is_none());
        assert!(
            Error::in_body(502, &json!({ "error": "", "code": "exec_transport_error" }))
                .unwrap()
                .is_lost()
        );
    }

    #[test]
    fn text_is_one_line() {
        assert_eq!(printable(" a\nb\u{1b}[2J "), "a b [2J");
    }
}
