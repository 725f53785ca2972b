//! The body of `POST …/wait`, and its answer.

use std::num::NonZeroU64;

use serde::Serialize;
use serde_json::{Map, Value};

use super::query::output_stream;
use crate::event::{Exit, OutputStream};
use crate::exec::timeout_ms;
use crate::json::{self, field, natural, text};
use crate::port::HttpCheck;
use crate::{ErrorBody, Invalid};

/// The longest pattern of a wait, in bytes.
pub const MAX_PATTERN: usize = 4096;

/// The body of `POST …/wait`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitRequest {
    /// The event that ends the wait.
    pub condition: Condition,
    /// The most milliseconds to wait. Absent: until the process ends.
    pub timeout_ms: Option<NonZeroU64>,
}

/// The condition of a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The end of the process.
    Exit,
    /// A TCP port on which the process tree listens.
    Port {
        /// The port.
        port: u16,
        /// The answer of its HTTP server.
        http: HttpCheck,
    },
    /// Output that matches.
    Log {
        /// The regular expression.
        pattern: String,
        /// The output that is searched; both by default.
        stream: Option<OutputStream>,
    },
}

impl WaitRequest {
    /// Parses a JSON body. The pattern itself is compiled by `sandboxd`.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let condition = match text(&fields, "for")?.as_deref() {
            Some("exit") => Condition::Exit,
            Some("port") => port(&fields)?,
            Some("log") => log(&fields)?,
            _ => return Err(Invalid::request("for must be exit, port or log")),
        };
        Ok(Self {
            condition,
            timeout_ms: field(&fields, "timeout_ms").map(timeout_ms).transpose()?,
        })
    }
}

fn port(fields: &Map<String, Value>) -> Result<Condition, Invalid> {
    let port = natural(fields, "port", 1..=65535)?.ok_or_else(|| Invalid::request("port must be set"))?;
    Ok(Condition::Port {
        port: port as u16,
        http: HttpCheck::from_fields(fields)?,
    })
}

fn log(fields: &Map<String, Value>) -> Result<Condition, Invalid> {
    let pattern = text(fields, "pattern")?.ok_or_else(|| Invalid::request("pattern must be set"))?;
    if pattern.len() > MAX_PATTERN {
        return Err(Invalid::request(format!(
            "pattern must have at most {MAX_PATTERN} bytes"
        )));
    }
    let stream = text(fields, "stream")?;
    Ok(Condition::Log {
        pattern,
        stream: stream.map(|name| output_stream(&name)).transpose()?,
    })
}

/// The answer of `POST …/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WaitResult {
    /// How the wait ended.
    pub state: WaitState,
    /// How the process ended, when it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// The reason why the process failed, when it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// The status of the HTTP answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The output that matched.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matched: Option<String>,
    /// The id of the event in which the match ended.
    #[serde(rename = "eventId", skip_serializing_if = "Option::is_none")]
    pub event_id: Option<u64>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum WaitState {
    /// The process has ended.
    Exited,
    /// The port is listened on.
    Ready,
    /// The output matched.
    Matched,
    /// The time is over.
    TimedOut,
}

impl WaitResult {
    /// A result without details.
    pub fn new(state: WaitState) -> Self {
        Self {
            state,
            exit: None,
            error: None,
            status: None,
            matched: None,
            event_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_names_its_condition() {
        let parse = |body: &str| WaitRequest::parse(body.as_bytes());
        let wait = parse(r#"{"for":"port","port":8080,"path":"/ready?a=b","status":204,"timeout_ms":10}"#);
        assert_eq!(
            wait.unwrap(),
            WaitRequest {
                condition: Condition::Port {
                    port: 8080,
                    http: HttpCheck {
                        path: Some("/ready?a=b".into()),
                        status: Some(204)
                    }
                },
                timeout_ms: NonZeroU64::new(10),
            }
        );
        let log = parse(r#"{"for":"log","pattern":"a+","stream":"stderr"}"#).unwrap();
        assert!(matches!(
            log.condition,
            Condition::Log {
                stream: Some(OutputStream::Stderr),
                ..
            }
        ));
        assert_eq!(parse(r#"{"for":"exit"}"#).unwrap().condition, Condition::Exit);
        let long = format!(r#"{{"for":"log","pattern":"{}"}}"#, "a".repeat(MAX_PATTERN + 1));
        for (body, word) in [
            ("{}", "for must be"),
            (r#"{"for":"end"}"#, "for must be"),
            (r#"{"for":"port"}"#, "port must be set"),
            (r#"{"for":"port","port":0}"#, "port must be"),
            (r#"{"for":"port","port":70000}"#, "port must be"),
            (r#"{"for":"port","port":80,"path":"a b"}"#, "path must"),
            (r#"{"for":"port","port":80,"status":200}"#, "status needs"),
            (r#"{"for":"log"}"#, "pattern must be set"),
            (&long, "at most 4096"),
            (r#"{"for":"log","pattern":"a","stream":"x"}"#, "stream must"),
            (r#"{"for":"exit","timeout_ms":0}"#, "timeout_ms"),
        ] {
            assert!(parse(body).unwrap_err().message().contains(word), "{body}");
        }
    }
}
