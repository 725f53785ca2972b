//! Sessions: shell state that outlives a command. Their names, and the requests that make and
//! delete them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::exec::{env, timeout_ms};
use crate::json::{self, field};
#[cfg(feature = "schema")]
use crate::schema;
use crate::workspace_path::WORKSPACE;
use crate::{Invalid, WorkspacePath};

/// Request header with the session that a request belongs to.
pub const SESSION_HEADER: &str = "session-id";

/// The largest body that creates a session, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// Whether clients may choose this id: 1 to 128 characters of `a-zA-Z0-9._-`, without `..`.
pub(crate) fn is_client_id(id: &str) -> bool {
    (1..=SessionId::MAX_LEN).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !id.contains("..")
}

/// A session id: 1 to 128 characters of `a-zA-Z0-9._-`, without `..` (the contract's
/// `^[a-zA-Z0-9._-]{1,128}$`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(String);

impl SessionId {
    /// The id of the default session, which is always there and cannot be deleted.
    pub const DEFAULT: &str = "default";

    /// The longest id, in characters.
    pub const MAX_LEN: usize = 128;

    /// Parses an id as it stands in a URL, a header or a body.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(id: &str) -> Result<Self, Invalid> {
        if is_client_id(id) {
            Ok(Self(id.to_owned()))
        } else {
            Err(Invalid::request("Invalid session ID format"))
        }
    }

    /// The id as it stands in URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the default session.
    pub fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The body of `POST …/session`. Unknown fields are ignored. A field that is `null` counts as
/// absent; an empty body has no fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateSession {
    /// The id of the session. Absent: a random one.
    pub id: Option<SessionId>,
    /// The start of the session. Creating a session twice is no error when this is the same.
    #[cfg_attr(feature = "schema", schemars(flatten))]
    pub start: SessionStart,
}

/// The initial state of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionStart {
    /// The working directory: an absolute path, anywhere in the sandbox, without NUL. The workspace
    /// by default.
    #[cfg_attr(feature = "schema", schemars(with = "Option<WorkspacePath>"))]
    pub cwd: String,
    /// Variables set on top of the sandbox's own.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Variables>"))]
    pub env: BTreeMap<String, String>,
    /// The timeout in milliseconds of commands of the session that have none of their own.
    #[cfg_attr(feature = "schema", schemars(range(max = u64::MAX)))]
    pub timeout_ms: Option<NonZeroU64>,
}

impl Default for SessionStart {
    fn default() -> Self {
        Self {
            cwd: WORKSPACE.to_owned(),
            env: BTreeMap::new(),
            timeout_ms: None,
        }
    }
}

impl CreateSession {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::optional_object(body)?;
        let text = |name: &str| json::text(&fields, name);
        let mut start = SessionStart::default();
        if let Some(text) = text("cwd")? {
            start.cwd = cwd(&text)?;
        }
        if let Some(value) = field(&fields, "env") {
            start.env = env(value)?;
        }
        start.timeout_ms = field(&fields, "timeout_ms").map(timeout_ms).transpose()?;
        Ok(Self {
            id: text("id")?.map(|id| SessionId::parse(&id)).transpose()?,
            start,
        })
    }
}

/// An absolute path as it is, below the workspace normalised; a relative one is taken from the
/// workspace. A shell may change to any directory, so a session may start in any.
fn cwd(text: &str) -> Result<String, Invalid> {
    match WorkspacePath::parse("cwd", text) {
        Ok(path) => Ok(path.as_str().to_owned()),
        Err(_) if text.starts_with('/') && !text.contains('\0') => Ok(text.to_owned()),
        Err(e) => Err(e),
    }
}

/// The answer of `POST …/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionCreated {
    /// The id of the session.
    pub id: String,
}

/// The answer of `DELETE …/session/{sid}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionDeleted {
    /// Always true. A failure is an error response.
    pub success: bool,
    /// The id of the session.
    #[serde(rename = "sessionId")]
    pub session_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<CreateSession, (u16, String)> {
        CreateSession::parse(body.as_bytes()).map_err(|e| (e.status(), e.message().to_owned()))
    }

    #[test]
    fn a_body_that_says_nothing_is_all_defaults() {
        let default = parse("").unwrap();
        assert_eq!(
            (default.id.as_ref(), default.start.cwd.as_str()),
            (None, "/workspace")
        );
        for same in [
            " \n",
            "{}",
            r#"{"id":null,"cwd":null,"env":null,"name":"x"}"#,
            r#"{"cwd":"/workspace/","env":{}}"#,
            r#"{"cwd":"."}"#,
        ] {
            assert_eq!(parse(same), Ok(default.clone()), "{same}");
        }
    }

    #[test]
    fn every_field() {
        let request = parse(r#"{"id":"s.1","cwd":"src","env":{"A":"b=\nc"}}"#).unwrap();
        assert_eq!(request.id.unwrap().as_str(), "s.1");
        assert_eq!(request.start.cwd, "/workspace/src");
        assert_eq!(request.start.env["A"], "b=\nc");
        assert_eq!(parse(r#"{"cwd":"/tmp/x"}"#).unwrap().start.cwd, "/tmp/x");
        let timed = parse(r#"{"timeout_ms":5}"#).unwrap();
        assert_eq!(timed.start.timeout_ms.map(NonZeroU64::get), Some(5));
    }

    #[test]
    fn each_error_names_its_field() {
        for (body, status, word) in [
            ("{", 400, "Invalid JSON body"),
            ("[]", 400, "Invalid JSON body"),
            (r#"{"id":1}"#, 400, "id must be a string"),
            (r#"{"id":"a b"}"#, 400, "Invalid session ID format"),
            (r#"{"id":""}"#, 400, "Invalid session ID format"),
            (r#"{"id":"a..b"}"#, 400, "Invalid session ID format"),
            (r#"{"cwd":1}"#, 400, "cwd must be a string"),
            (r#"{"cwd":""}"#, 400, "cwd must not be empty"),
            (r#"{"cwd":"/a\u0000"}"#, 400, "NUL"),
            (r#"{"cwd":"../etc"}"#, 403, "within /workspace"),
            (r#"{"timeout_ms":0}"#, 400, "timeout_ms"),
            (r#"{"env":["A=b"]}"#, 400, "env"),
            (r#"{"env":{"A":1}}"#, 400, "env.A"),
            (r#"{"env":{"A=":"b"}}"#, 400, "env"),
        ] {
            let (got, message) = parse(body).unwrap_err();
            assert_eq!(got, status, "{body}: {message}");
            assert!(message.contains(word), "{body}: {message}");
        }
    }

    #[test]
    fn wire_forms() {
        let created = SessionCreated { id: "a".into() };
        assert_eq!(serde_json::to_string(&created).unwrap(), r#"{"id":"a"}"#);
        let deleted = SessionDeleted {
            success: true,
            session_id: "a".into(),
        };
        assert_eq!(
            serde_json::to_string(&deleted).unwrap(),
            r#"{"success":true,"sessionId":"a"}"#
        );
    }

    #[test]
    fn accepts_exactly_the_contract_pattern_without_dot_dot() {
        for good in ["a", "Z9", "my-session_1.2", ".", "default", &"a".repeat(128)] {
            assert_eq!(SessionId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "é", "..", "a..b", "a%2e", &"a".repeat(129)] {
            assert_eq!(
                SessionId::parse(bad).unwrap_err().message(),
                "Invalid session ID format",
                "{bad:?}"
            );
        }
    }
}
