//! The body of `POST …/edit`, and its answers.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{FilePath, FileRoots};
use crate::json::{self, field, flag, text};
use crate::{ErrorBody, Invalid};

/// The largest body of an edit, in bytes.
pub const MAX_EDIT_BODY: usize = 8 * 1024 * 1024;

/// The most files of a request, and the most edits of a file.
pub const MAX_EDITS: usize = 1000;

/// The body of `POST …/edit`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EditRequest {
    /// The files: all are changed, or none. No path may come twice.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_EDITS)))]
    pub files: Vec<FileEdits>,
}

/// The edits of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename_all = "camelCase")
)]
pub struct FileEdits {
    /// The path of the file, which must exist.
    pub path: FilePath,
    /// The edits, one after the other: each applies to what the one before has made.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_EDITS)))]
    pub edits: Vec<Edit>,
    /// The `ETag` that the file must have, with its quotes. Absent: any.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub if_match: Option<String>,
}

/// The replacement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Edit {
    /// The text that is replaced. It must occur exactly once, unless `all` is set.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub old: String,
    /// The new text.
    pub new: String,
    /// Whether every occurrence is replaced, one at least. Default: false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub all: bool,
}

impl EditRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a path outside the roots: the message names the field.
    pub fn parse(body: &[u8], roots: &FileRoots) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let files: Vec<FileEdits> = objects(&fields, "files", "", |fields, at| {
            FileEdits::parse(fields, at, roots)
        })?;
        let mut paths: Vec<_> = files.iter().map(|file| &file.path).collect();
        paths.sort_unstable();
        if let Some([twice, _]) = paths.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(Invalid::request(format!("files has the path {twice} twice")));
        }
        Ok(Self { files })
    }
}

impl FileEdits {
    fn parse(fields: &Map<String, Value>, at: &str, roots: &FileRoots) -> Result<Self, Invalid> {
        let path = required(fields, "path", at)?;
        let if_match = text(fields, "ifMatch").map_err(|e| below(at, &e))?;
        if if_match.as_deref() == Some("") {
            return Err(Invalid::request(format!("{at}.ifMatch must not be empty")));
        }
        Ok(Self {
            path: FilePath::parse(&format!("{at}.path"), &path, roots)?,
            edits: objects(fields, "edits", at, Edit::parse)?,
            if_match,
        })
    }
}

impl Edit {
    fn parse(fields: &Map<String, Value>, at: &str) -> Result<Self, Invalid> {
        let old = required(fields, "old", at)?;
        if old.is_empty() {
            return Err(Invalid::request(format!("{at}.old must not be empty")));
        }
        Ok(Self {
            old,
            new: required(fields, "new", at)?,
            all: flag(fields, "all", false).map_err(|e| below(at, &e))?,
        })
    }
}

/// The objects in the array `name`. `at` is the place of `fields` in the body.
fn objects<T>(
    fields: &Map<String, Value>,
    name: &str,
    at: &str,
    parse: impl Fn(&Map<String, Value>, &str) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let at = [at, name].join(if at.is_empty() { "" } else { "." });
    let wrong = || Invalid::request(format!("{at} must be an array of 1 to {MAX_EDITS} objects"));
    let items = field(fields, name).and_then(Value::as_array).ok_or_else(wrong)?;
    if items.is_empty() || items.len() > MAX_EDITS {
        return Err(wrong());
    }
    let parse = |(i, item): (usize, &Value)| {
        let at = format!("{at}[{i}]");
        let fields = item.as_object();
        parse(
            fields.ok_or_else(|| Invalid::request(format!("{at} must be an object")))?,
            &at,
        )
    };
    items.iter().enumerate().map(parse).collect()
}

fn required(fields: &Map<String, Value>, name: &str, at: &str) -> Result<String, Invalid> {
    let text = text(fields, name).map_err(|e| below(at, &e))?;
    text.ok_or_else(|| Invalid::request(format!("{at}.{name} must be set")))
}

/// An error of a field, with the place of its object before.
fn below(at: &str, error: &Invalid) -> Invalid {
    Invalid::request(format!("{at}.{error}"))
}

/// The answer of `POST …/edit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Edited {
    /// The files, in the order of the request.
    pub files: Vec<EditedFile>,
}

/// A file that was edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EditedFile {
    /// Its absolute path.
    pub path: String,
    /// The `ETag` of the new version, for the next `ifMatch`.
    pub etag: String,
    /// The number of texts that were replaced.
    pub replaced: u64,
}

/// The error of an edit whose text does not occur exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EditMismatchError {
    /// The error.
    #[serde(flatten)]
    pub body: ErrorBody,
    /// The edit.
    #[serde(flatten)]
    pub mismatch: EditMismatch,
}

/// An edit whose text does not occur exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EditMismatch {
    /// The path of the file.
    pub path: String,
    /// The number of the edit in the request, from 0.
    pub edit: usize,
    /// The number of times that the text occurs.
    pub found: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_checked() {
        let parse = |body: &str| EditRequest::parse(body.as_bytes(), &FileRoots::default());
        let request = parse(
            r#"{"files":[{"path":"a","edits":[{"old":"x","new":""},{"old":"y","new":"z","all":true}],"ifMatch":"\"t\""}]}"#,
        )
        .unwrap();
        let [file] = request.files.as_slice() else {
            panic!("{request:?}");
        };
        assert_eq!(file.path.as_str(), "/workspace/a");
        assert_eq!(file.if_match.as_deref(), Some("\"t\""));
        assert_eq!((file.edits.len(), file.edits[1].all), (2, true));
        for (body, status, word) in [
            ("{}", 400, "files must be an array"),
            (r#"{"files":[]}"#, 400, "files must be an array"),
            (r#"{"files":[1]}"#, 400, "files[0] must be an object"),
            (r#"{"files":[{"edits":[]}]}"#, 400, "files[0].path must be set"),
            (
                r#"{"files":[{"path":"a"}]}"#,
                400,
                "files[0].edits must be an array",
            ),
            (
                r#"{"files":[{"path":"a","edits":[{"new":"x"}]}]}"#,
                400,
                "files[0].edits[0].old must be set",
            ),
            (
                r#"{"files":[{"path":"a","edits":[{"old":"","new":"x"}]}]}"#,
                400,
                "files[0].edits[0].old must not be empty",
            ),
            (
                r#"{"files":[{"path":"a","edits":[{"old":"x","new":1}]}]}"#,
                400,
                "files[0].edits[0].new must be a string",
            ),
            (
                r#"{"files":[{"path":"a","edits":[{"old":"x","new":"","all":1}]}]}"#,
                400,
                "files[0].edits[0].all must be",
            ),
            (
                r#"{"files":[{"path":"/etc/a","edits":[{"old":"x","new":""}]}]}"#,
                403,
                "files[0].path must resolve",
            ),
            (
                r#"{"files":[{"path":"a","edits":[{"old":"x","new":""}]},{"path":"./a","edits":[{"old":"x","new":""}]}]}"#,
                400,
                "twice",
            ),
        ] {
            let refused = parse(body).unwrap_err();
            assert_eq!(refused.status(), status, "{body}");
            assert!(refused.message().contains(word), "{body}: {refused}");
        }
    }
}
