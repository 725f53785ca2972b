//! The bodies of `PATCH …/file/{path}`, `POST …/move` and `POST …/copy`.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{FileMode, FilePath, FileRoots};
use crate::Invalid;
use crate::answer::True;
use crate::json::{self, flag, text};
#[cfg(feature = "schema")]
use crate::schema;

/// The largest of these bodies, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The body of `PATCH …/file/{path}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename_all = "camelCase")
)]
pub struct AttributesRequest {
    /// The new permissions, as octal digits.
    pub mode: Option<FileMode>,
    /// The new time of the last change of the content: RFC 3339, in UTC, from 1970 to 9999.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Time>"))]
    pub modified_at: Option<SystemTime>,
}

impl AttributesRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let mode = text(&fields, "mode")?;
        let modified_at = text(&fields, "modifiedAt")?;
        Ok(Self {
            mode: mode.map(|mode| FileMode::parse(&mode)).transpose()?,
            modified_at: modified_at.map(|time| parse_time(&time)).transpose()?,
        })
    }
}

fn parse_time(text: &str) -> Result<SystemTime, Invalid> {
    humantime::parse_rfc3339(text)
        .map_err(|_| Invalid::request("modifiedAt must be a time like 2026-01-31T12:00:00.000Z"))
}

/// The body of `POST …/move`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MoveRequest {
    /// The path of what is moved or copied.
    pub from: FilePath,
    /// The new path. Missing directories above it are created.
    pub to: FilePath,
    /// Whether a file at the new path is replaced. Default: true. A directory that is not empty is
    /// never replaced.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub overwrite: bool,
}

impl MoveRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a path outside the roots: the message names the field.
    pub fn parse(body: &[u8], roots: &FileRoots) -> Result<Self, Invalid> {
        Self::from_fields(&json::object(body)?, roots)
    }

    fn from_fields(fields: &Map<String, Value>, roots: &FileRoots) -> Result<Self, Invalid> {
        let path = |name: &str| {
            let text = text(fields, name)?.ok_or_else(|| Invalid::request(format!("{name} must be set")))?;
            FilePath::parse(name, &text, roots)
        };
        Ok(Self {
            from: path("from")?,
            to: path("to")?,
            overwrite: flag(fields, "overwrite", true)?,
        })
    }
}

/// The body of `POST …/copy`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CopyRequest {
    /// The two paths.
    #[cfg_attr(feature = "schema", schemars(flatten))]
    pub paths: MoveRequest,
    /// Whether a directory is copied, with everything in it. Default: false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub recursive: bool,
}

impl CopyRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a path outside the roots: the message names the field.
    pub fn parse(body: &[u8], roots: &FileRoots) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        Ok(Self {
            paths: MoveRequest::from_fields(&fields, roots)?,
            recursive: flag(&fields, "recursive", false)?,
        })
    }
}

/// The answer of a move or a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transferred {
    /// Always true. A failure is an error response.
    pub ok: True,
    /// The number of sockets and devices in a copied directory, which are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_checked() {
        let roots = FileRoots::default();
        let copy = |body: &str| CopyRequest::parse(body.as_bytes(), &roots);
        let request = copy(r#"{"from":"a","to":"/workspace/b/../c","recursive":true}"#).unwrap();
        assert_eq!(request.paths.from.as_str(), "/workspace/a");
        assert_eq!(request.paths.to.as_str(), "/workspace/c");
        assert!(request.paths.overwrite && request.recursive);
        for (body, status, word) in [
            ("{}", 400, "from must be set"),
            (r#"{"from":"a"}"#, 400, "to must be set"),
            (r#"{"from":1,"to":"b"}"#, 400, "from must be a string"),
            (r#"{"from":"a","to":""}"#, 400, "to must not be empty"),
            (r#"{"from":"/etc/passwd","to":"b"}"#, 403, "from must resolve"),
            (r#"{"from":"a","to":"../b"}"#, 403, "to must resolve"),
            (r#"{"from":"a","to":"b","overwrite":1}"#, 400, "overwrite must be"),
            (
                r#"{"from":"a","to":"b","recursive":"x"}"#,
                400,
                "recursive must be",
            ),
        ] {
            let refused = copy(body).unwrap_err();
            assert_eq!(refused.status(), status, "{body}");
            assert!(refused.message().contains(word), "{body}: {refused}");
        }
        let patch = |body: &str| AttributesRequest::parse(body.as_bytes());
        let request = patch(r#"{"mode":"0600","modifiedAt":"1970-01-01T00:00:01.5Z"}"#).unwrap();
        let since = request
            .modified_at
            .unwrap()
            .duration_since(SystemTime::UNIX_EPOCH);
        assert_eq!(
            (request.mode.unwrap().bits(), since.unwrap().as_millis()),
            (0o600, 1500)
        );
        for body in [
            r#"{"mode":420}"#,
            r#"{"mode":"999"}"#,
            r#"{"modifiedAt":"yesterday"}"#,
            r#"{"modifiedAt":"2026-13-01T00:00:00Z"}"#,
            r#"{"modifiedAt":0}"#,
        ] {
            assert_eq!(patch(body).unwrap_err().status(), 400, "{body}");
        }
    }
}
