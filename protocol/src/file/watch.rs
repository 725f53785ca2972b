//! The queries and events of `GET …/watch/{path}`, and those of `GET …/changes/{path}`.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::MAX_GLOB;
use crate::process::since;
use crate::query::flag;
use crate::{Invalid, query};

/// The most events of a watch that can be had again.
pub const KEPT_EVENTS: usize = 4096;

/// The query of `GET …/watch/{path}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchQuery {
    /// Whether what is in directories below is watched, too.
    pub recursive: bool,
    /// Globs of the paths to tell; empty: all.
    pub include: Vec<String>,
    /// Globs of the paths to leave out.
    pub exclude: Vec<String>,
    /// The id of the last event that the client has got. Absent: it wants no earlier events.
    pub since: Option<u64>,
}

impl WatchQuery {
    /// Parses a query. `last_event_id` is that header; `since` takes precedence. The globs are
    /// compiled by `sandboxd`.
    ///
    /// # Errors
    ///
    /// 400: the message names the parameter.
    pub fn parse(text: &str, last_event_id: Option<&str>) -> Result<Self, Invalid> {
        Ok(Self {
            recursive: flag(text, "recursive")?,
            include: globs(text, "include")?,
            exclude: globs(text, "exclude")?,
            since: version(text, last_event_id)?,
        })
    }
}

/// The id after which events are wanted, unless the request has none.
fn version(text: &str, last_event_id: Option<&str>) -> Result<Option<u64>, Invalid> {
    let has_since = query::value(text, "since")?.is_some_and(|since| !since.is_empty());
    let last_event_id = last_event_id.filter(|id| !id.is_empty());
    match has_since || last_event_id.is_some() {
        true => since(text, last_event_id).map(Some),
        false => Ok(None),
    }
}

fn globs(text: &str, name: &str) -> Result<Vec<String>, Invalid> {
    let list = query::value(text, name)?.unwrap_or_default();
    if list.len() > MAX_GLOB {
        return Err(Invalid::request(format!(
            "{name} must have at most {MAX_GLOB} bytes"
        )));
    }
    let globs = list.split(',').filter(|glob| !glob.is_empty());
    Ok(globs.map(str::to_owned).collect())
}

/// The query, as it stands in a URL.
impl fmt::Display for WatchQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recursive={}", self.recursive)?;
        for (name, globs) in [("include", &self.include), ("exclude", &self.exclude)] {
            if !globs.is_empty() {
                let list = globs.join(",");
                write!(f, "&{name}={}", utf8_percent_encode(&list, NON_ALPHANUMERIC))?;
            }
        }
        match self.since {
            Some(since) => write!(f, "&since={since}"),
            None => Ok(()),
        }
    }
}

/// The query of `GET …/changes/{path}`: the version that the client knows.
///
/// # Errors
///
/// 400: it is not a version.
pub fn changes_since(text: &str) -> Result<Option<u64>, Invalid> {
    version(text, None).map_err(|_| Invalid::request("since must be the version of an earlier answer"))
}

/// The type of an event of a watch, as it stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEventType {
    /// The watch has begun. From here on, every change is told.
    Watching,
    /// Something new has this path.
    Created,
    /// The content of the file has changed.
    Modified,
    /// Nothing has this path any more.
    Deleted,
    /// The file or directory at the path `from` has this one now.
    Moved,
    /// Permissions, owner or times have changed.
    Attributes,
    /// Events are missing here. The client is to look at the files itself.
    Overflow,
}

impl WatchEventType {
    /// The name in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Moved => "moved",
            Self::Attributes => "attributes",
            Self::Overflow => "overflow",
        }
    }
}

/// The data of an event of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WatchEvent {
    /// The absolute path. Bytes that are not UTF-8 are U+FFFD.
    pub path: String,
    /// The path before, of `moved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// The answer of `GET …/changes/{path}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changes {
    /// Whether something has changed.
    pub status: ChangeStatus,
    /// The version for the next request.
    pub version: String,
    /// The paths that have changed, if there are at most 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
}

/// Whether something has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum ChangeStatus {
    /// Nothing.
    Unchanged,
    /// Something.
    Changed,
    /// It is not known. The client is to look at the files itself.
    Resync,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_and_written() {
        for (text, id, written) in [
            ("", None, "recursive=false"),
            ("recursive=true&include=&since=", Some(""), "recursive=true"),
            (
                "include=*.rs,,a/**&exclude=b&since=7",
                Some("3"),
                "recursive=false&include=%2A%2Ers%2Ca%2F%2A%2A&exclude=b&since=7",
            ),
            ("", Some("3"), "recursive=false&since=3"),
        ] {
            let query = WatchQuery::parse(text, id).unwrap();
            assert_eq!(query.to_string(), written);
            assert_eq!(WatchQuery::parse(written, None).unwrap(), query);
        }
        assert!(WatchQuery::parse("recursive=1", None).is_err());
        assert!(WatchQuery::parse("since=x", None).is_err());
        assert!(WatchQuery::parse("", Some("x")).is_err());
        assert_eq!(
            (changes_since("since=9"), changes_since("")),
            (Ok(Some(9)), Ok(None))
        );
        assert!(changes_since("since=-1").is_err());
    }
}
