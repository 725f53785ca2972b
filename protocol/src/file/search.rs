//! The body of `POST …/search`, and its answers.

use serde::Serialize;
use serde_json::Value;

use super::{FilePath, FileRoots, MAX_GLOB};
use crate::Invalid;
use crate::answer::True;
use crate::json::{self, field, flag, natural, text};
use crate::process::MAX_PATTERN;

/// The largest body of a search, in bytes.
pub const MAX_SEARCH_BODY: usize = 1024 * 1024;

/// The most globs of a search.
pub const MAX_GLOBS: usize = 100;

/// The most lines of context before and after a match.
pub const MAX_CONTEXT: u64 = 100;

/// The default of `maxResults` where the answer is JSON.
pub const DEFAULT_RESULTS: u64 = 1000;

/// The most bytes of a line in an answer.
pub const MAX_LINE: usize = 2048;

/// The body of `POST …/search`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename_all = "camelCase")
)]
pub struct SearchRequest {
    /// The text that is searched for: the same characters, or with `regex` a regular expression of
    /// the Rust crate `regex`. A match is within one line.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_PATTERN)))]
    pub pattern: String,
    /// The file or the directory that is searched. Default: /workspace.
    #[cfg_attr(feature = "schema", schemars(with = "Option<FilePath>"))]
    pub path: FilePath,
    /// Globs of the files that are searched, as `rg --glob` takes them: a name, or a path below the
    /// directory. One that begins with `!` leaves files out. Default: all files.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Globs>"))]
    pub glob: Vec<String>,
    /// Whether the pattern is a regular expression. Default: false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub regex: bool,
    /// Whether upper and lower case are the same. Default: false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub ignore_case: bool,
    /// The number of lines before and after each match. Default: 0.
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>", range(max = MAX_CONTEXT)))]
    pub context: u64,
    /// The most matches. Default: 1000, and no limit for NDJSON.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = u64::MAX)))]
    pub max_results: Option<u64>,
    /// Whether files and directories whose names begin with a dot are searched. Default: false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub hidden: bool,
    /// Whether files that a `.gitignore` or `.ignore` names are left out. Default: true.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub gitignore: bool,
}

/// The globs of a search.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(inline, untagged)]
#[allow(dead_code, reason = "for its schema")]
enum Globs {
    One(#[schemars(length(min = 1, max = MAX_GLOB))] String),
    Many(#[schemars(length(max = MAX_GLOBS), inner(length(min = 1, max = MAX_GLOB)))] Vec<String>),
}

impl SearchRequest {
    /// Parses a JSON body. Pattern and globs are compiled by `sandboxd`.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a path outside the roots: the message names the field.
    pub fn parse(body: &[u8], roots: &FileRoots) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let flag = |name: &str, default: bool| flag(&fields, name, default);
        let pattern = text(&fields, "pattern")?.ok_or_else(|| Invalid::request("pattern must be set"))?;
        check_length("pattern", &pattern, MAX_PATTERN)?;
        let path = text(&fields, "path")?;
        Ok(Self {
            pattern,
            path: FilePath::parse("path", path.as_deref().unwrap_or("."), roots)?,
            glob: field(&fields, "glob").map_or(Ok(Vec::new()), globs)?,
            regex: flag("regex", false)?,
            ignore_case: flag("ignoreCase", false)?,
            context: natural(&fields, "context", 0..=MAX_CONTEXT)?.unwrap_or(0),
            max_results: natural(&fields, "maxResults", 1..=u64::MAX)?,
            hidden: flag("hidden", false)?,
            gitignore: flag("gitignore", true)?,
        })
    }
}

fn globs(value: &Value) -> Result<Vec<String>, Invalid> {
    let wrong = || Invalid::request("glob must be a string or an array of strings");
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    let globs: Vec<String> = match value {
        Value::Array(globs) if globs.len() > MAX_GLOBS => {
            return Err(Invalid::request(format!(
                "glob must have at most {MAX_GLOBS} items"
            )));
        }
        Value::Array(globs) => globs.iter().map(text).collect::<Result<_, _>>()?,
        value => vec![text(value)?],
    };
    globs
        .iter()
        .try_for_each(|glob| check_length("glob", glob, MAX_GLOB))?;
    Ok(globs)
}

fn check_length(name: &str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::request(format!("{name} must not be empty")));
    }
    // As JSON Schema counts.
    if text.chars().count() > most {
        return Err(Invalid::request(format!(
            "{name} must have at most {most} characters"
        )));
    }
    Ok(())
}

/// The answer of `POST …/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchResult {
    /// The lines that match, in the order of their paths and lines.
    pub matches: Vec<SearchMatch>,
    /// Whether there are more, which `maxResults` or the size of the answer leaves out.
    pub truncated: bool,
}

/// A line that matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchMatch {
    /// The absolute path of the file.
    pub path: String,
    /// The number of the line, from 1.
    pub line: u64,
    /// The byte of the line at which the first match begins, from 1.
    pub column: u64,
    /// The line, without its end: at most 2048 bytes. Bytes that are not UTF-8 are U+FFFD.
    pub text: String,
    /// The lines before it, if there is `context`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// The lines after it, if there is `context`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// The last line of a search as NDJSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SearchEnd {
    /// Always true. A search without this line is not whole.
    pub end: True,
    /// The number of matches before.
    pub matches: u64,
    /// Whether there are more, which `maxResults` leaves out.
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_checked() {
        let parse = |body: &str| SearchRequest::parse(body.as_bytes(), &FileRoots::default());
        let request = parse(r#"{"pattern":"a"}"#).unwrap();
        assert_eq!((request.path.as_str(), request.gitignore), ("/workspace", true));
        assert!(!request.regex && !request.hidden && request.glob.is_empty());
        let request =
            parse(r#"{"pattern":"a","glob":["*.rs","!b"],"path":"src","maxResults":5,"context":2}"#).unwrap();
        assert_eq!(
            (request.glob.len(), request.max_results, request.context),
            (2, Some(5), 2)
        );
        assert_eq!(parse(r#"{"pattern":"a","glob":"*.rs"}"#).unwrap().glob, ["*.rs"]);
        for (body, word) in [
            ("{}", "pattern must be set"),
            (r#"{"pattern":""}"#, "pattern must not"),
            (r#"{"pattern":1}"#, "pattern must be a string"),
            (r#"{"pattern":"a","glob":[1]}"#, "glob must be"),
            (r#"{"pattern":"a","glob":""}"#, "glob must not"),
            (r#"{"pattern":"a","context":101}"#, "context must be"),
            (r#"{"pattern":"a","maxResults":0}"#, "maxResults must be"),
            (r#"{"pattern":"a","regex":"yes"}"#, "regex must be"),
            (r#"{"pattern":"a","path":"/etc"}"#, "path must resolve"),
        ] {
            assert!(parse(body).unwrap_err().message().contains(word), "{body}");
        }
    }
}
