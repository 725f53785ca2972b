//! Sessions: shell state that outlives a command. Their names, and the requests that make and delete them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exec::{env, field};
use crate::path::WORKSPACE;
#[cfg(feature = "schema")]
use crate::schema;
use crate::{Invalid, WorkspacePath};

/// Request header with the session that a request belongs to.
pub const SESSION_HEADER: &str = "session-id";

/// The largest body that creates a session, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// A session id: 1 to 128 characters of `a-zA-Z0-9._-`, without `..` (the contract's `^[a-zA-Z0-9._-]{1,128}$`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(String);

impl SessionId {
    /// The id of the default session, which is always there and cannot be deleted.
    pub const DEFAULT: &str = "default";

    /// The longest id, in characters.
    pub const MAX_LEN: usize = 128;

    /// Parses an id as it stands in a URL, a header or a body.
    pub fn parse(id: &str) -> Result<Self, Invalid> {
        let well_formed = (1..=Self::MAX_LEN).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !id.contains("..");
        if well_formed {
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

/// The checked body of `POST …/session`. Unknown fields are ignored, a field that is `null` counts as absent, and so does
/// the whole body when it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateSession {
    /// The session's name. Absent: one that is made up.
    pub id: Option<SessionId>,
    /// What it starts from. Creating a session twice is no error when this is the same.
    #[cfg_attr(feature = "schema", schemars(flatten))]
    pub start: SessionStart,
}

/// What a session starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionStart {
    /// The working directory: an absolute path, anywhere in the sandbox, without NUL. The workspace by default.
    #[cfg_attr(feature = "schema", schemars(with = "Option<WorkspacePath>"))]
    pub cwd: String,
    /// Variables set on top of the sandbox's own.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Variables>"))]
    pub env: BTreeMap<String, String>,
}

impl Default for SessionStart {
    fn default() -> Self {
        Self {
            cwd: WORKSPACE.to_owned(),
            env: BTreeMap::new(),
        }
    }
}

impl CreateSession {
    /// Parses a JSON body. Errors name the field: 400.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self {
                id: None,
                start: SessionStart::default(),
            });
        }
        let value =
            serde_json::from_slice(body).map_err(|e| Invalid::request(format!("Invalid JSON body: {e}")))?;
        let Value::Object(fields) = value else {
            return Err(Invalid::request("Invalid JSON body: must be an object"));
        };
        let text = |name: &str| {
            let text = |value: &Value| match value {
                Value::String(text) => Ok(text.clone()),
                _ => Err(Invalid::request(format!("{name} must be a string"))),
            };
            field(&fields, name).map(text).transpose()
        };
        let mut start = SessionStart::default();
        if let Some(text) = text("cwd")? {
            start.cwd = cwd(&text)?;
        }
        if let Some(value) = field(&fields, "env") {
            start.env = env(value)?;
        }
        Ok(Self {
            id: text("id")?.map(|id| SessionId::parse(&id)).transpose()?,
            start,
        })
    }

    /// The JSON body that parses to this request.
    pub fn to_json(&self) -> String {
        let mut body = json!({ "cwd": self.start.cwd, "env": self.start.env });
        if let (Value::Object(fields), Some(id)) = (&mut body, &self.id) {
            fields.insert("id".into(), id.as_str().into());
        }
        body.to_string()
    }
}

/// An absolute path as it is, below the workspace normalised; a relative one is taken from the workspace. A shell may
/// change to any directory, so a session may start in any.
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
    /// The session's name.
    pub id: String,
}

/// The answer of `DELETE …/session/{sid}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionDeleted {
    /// Always true: what fails is an error.
    pub success: bool,
    /// The session's name.
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
    fn the_json_form_reads_back() {
        for (body, json) in [
            ("", r#"{"cwd":"/workspace","env":{}}"#),
            (
                r#"{"id":"s.1","cwd":"src","env":{"A":"b=\nc"}}"#,
                r#"{"cwd":"/workspace/src","env":{"A":"b=\nc"},"id":"s.1"}"#,
            ),
            (r#"{"cwd":"/tmp/x"}"#, r#"{"cwd":"/tmp/x","env":{}}"#),
        ] {
            let request = parse(body).unwrap();
            assert_eq!(request.to_json(), json);
            assert_eq!(parse(json), Ok(request), "{body}");
        }
    }

    #[test]
    fn each_refusal_names_its_field() {
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
