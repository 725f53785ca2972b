//! Ports of a sandbox: the servers behind them, over HTTP and over TCP.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::exec::timeout_ms;
use crate::json::{self, field, natural, text};
use crate::preview::PortAccess;
#[cfg(feature = "schema")]
use crate::schema::Time;
use crate::{Invalid, sandboxd};

/// The largest body of a wait for a port, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// A port that clients can reach: 1 to 65535, but not [`sandboxd::PORT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct ServerPort(u16);

impl ServerPort {
    /// Parses a port as it stands in a URL: decimal digits.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form, and for the port of `sandboxd`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // `u16` would take a sign.
        let digits = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse::<u16>().ok());
        number.map_or_else(|| Err(Self::invalid()), Self::try_from)
    }

    fn invalid() -> Invalid {
        Invalid::request(format!(
            "Invalid port: it must be a number from 1 to 65535, and not {}, where sandboxd listens",
            sandboxd::PORT
        ))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for ServerPort {
    type Error = Invalid;

    fn try_from(number: u16) -> Result<Self, Invalid> {
        if [0, sandboxd::PORT].contains(&number) {
            return Err(Self::invalid());
        }
        Ok(Self(number))
    }
}

impl From<ServerPort> for u16 {
    fn from(port: ServerPort) -> Self {
        port.0
    }
}

impl fmt::Display for ServerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The answer of `GET …/port`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PortList {
    /// The ports, in ascending order.
    pub ports: Vec<PortState>,
}

/// A TCP port of a sandbox: one on which a process listens, or one that is exposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PortState {
    /// The port.
    pub port: u16,
    /// Whether a process listens on it.
    pub listening: bool,
    /// The address of the exposed port, which needs no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The name that the client gave the exposed port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who may know the address of the exposed port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<PortAccess>,
    /// Whether a visit to the exposed port starts the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<bool>,
    /// The time at which the address ends.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Time>"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl PortState {
    /// A port on which a process listens.
    pub fn listening(port: u16) -> Self {
        Self {
            port,
            listening: true,
            url: None,
            name: None,
            access: None,
            wake: None,
            expires_at: None,
        }
    }
}

/// The answer that a wait for a port wants from an HTTP server there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpCheck {
    /// The path of a `GET` that must be answered; absent: it is enough that a process listens.
    pub path: Option<String>,
    /// The status of that answer; any from 200 to 399 by default.
    pub status: Option<u16>,
}

impl HttpCheck {
    pub(crate) fn from_fields(fields: &Map<String, Value>) -> Result<Self, Invalid> {
        let path = text(fields, "path")?;
        if path.as_ref().is_some_and(|path| !is_request_target(path)) {
            return Err(Invalid::request("path must begin with / and be percent-encoded"));
        }
        let status = natural(fields, "status", 100..=599)?;
        if status.is_some() && path.is_none() {
            return Err(Invalid::request("status needs a path"));
        }
        Ok(Self {
            path,
            status: status.map(|status| status as u16),
        })
    }
}

fn is_request_target(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The body of `POST …/port/{port}/wait`. An empty body has no fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortWaitRequest {
    /// The answer of the HTTP server.
    pub http: HttpCheck,
    /// The most milliseconds to wait. Absent: until the client leaves.
    pub timeout_ms: Option<NonZeroU64>,
}

impl PortWaitRequest {
    /// Parses a JSON body, or an empty one.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::optional_object(body)?;
        Ok(Self {
            http: HttpCheck::from_fields(&fields)?,
            timeout_ms: field(&fields, "timeout_ms").map(timeout_ms).transpose()?,
        })
    }
}

/// The answer of `POST …/port/{port}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PortWaitResult {
    /// How the wait ended.
    pub state: PortWaitState,
    /// The status of the HTTP answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// How a wait for a port ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum PortWaitState {
    /// A process listens on the port, and its HTTP server gives the answer.
    Ready,
    /// The time is over.
    TimedOut,
}

#[cfg(feature = "schema")]
mod schema;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_and_not_that_of_sandboxd() {
        for (text, number) in [("1", 1), ("80", 80), ("3000", 3000), ("65535", 65535)] {
            assert_eq!(ServerPort::parse(text).unwrap().get(), number);
        }
        for text in ["", "0", "-1", "+80", "65536", "28671", "8e1", " 80", "http"] {
            assert_eq!(ServerPort::parse(text).unwrap_err().status(), 400, "{text}");
        }
    }

    #[test]
    fn a_wait_may_want_an_answer() {
        let parse = |body: &str| PortWaitRequest::parse(body.as_bytes());
        assert_eq!(parse("").unwrap(), PortWaitRequest::default());
        let wait = parse(r#"{"path":"/a?b=c","status":204,"timeout_ms":10}"#).unwrap();
        assert_eq!(
            wait,
            PortWaitRequest {
                http: HttpCheck {
                    path: Some("/a?b=c".into()),
                    status: Some(204)
                },
                timeout_ms: NonZeroU64::new(10),
            }
        );
        for (body, message) in [
            (r#"{"path":"a"}"#, "path must"),
            (r#"{"status":200}"#, "status needs"),
            (r#"{"path":"/","status":99}"#, "status must"),
            (r#"{"timeout_ms":0}"#, "timeout_ms"),
        ] {
            assert!(parse(body).unwrap_err().message().contains(message), "{body}");
        }
    }

    #[test]
    fn wire_form() {
        let list = PortList {
            ports: vec![PortState::listening(80)],
        };
        let result = PortWaitResult {
            state: PortWaitState::TimedOut,
            status: None,
        };
        assert_eq!(
            (
                serde_json::to_string(&list).unwrap(),
                serde_json::to_string(&result).unwrap()
            ),
            (
                r#"{"ports":[{"port":80,"listening":true}]}"#.into(),
                r#"{"state":"timed_out"}"#.into()
            )
        );
    }
}
