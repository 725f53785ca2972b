//! The queries and answers of `…/directory/{path}`.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{Entry, FilePath, MAX_GLOB};
use crate::answer::True;
use crate::query::flag;
use crate::{Invalid, query};

/// The default of `limit`.
pub const DEFAULT_LIMIT: usize = 100;

/// The largest `limit`.
pub const MAX_LIMIT: usize = 1000;

/// The largest `depth`. No path has more names.
pub const MAX_DEPTH: usize = 4096;

/// The query of `GET …/directory/{path}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryQuery {
    /// The levels that are listed, at least 1.
    pub depth: usize,
    /// Whether names that begin with a dot are listed, and directories of such names entered.
    pub hidden: bool,
    /// The pattern of the entries that are listed.
    pub glob: Option<String>,
    /// The most entries on a page.
    pub limit: usize,
    /// The path, below the directory, that the page before ended with.
    pub cursor: Option<String>,
}

impl DirectoryQuery {
    /// Parses a query. The glob itself is compiled by `sandboxd`.
    ///
    /// # Errors
    ///
    /// 400: the message names the parameter.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let glob = query::value(text, "glob")?.filter(|glob| !glob.is_empty());
        if glob.as_ref().is_some_and(|glob| glob.len() > MAX_GLOB) {
            return Err(Invalid::request(format!(
                "glob must have at most {MAX_GLOB} bytes"
            )));
        }
        Ok(Self {
            depth: query::natural(text, "depth", 1..=MAX_DEPTH)?.unwrap_or(1),
            hidden: flag(text, "hidden")?,
            glob,
            limit: query::natural(text, "limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query::value(text, "cursor")?.filter(|cursor| !cursor.is_empty()),
        })
    }
}

/// The query, as it stands in a URL.
impl fmt::Display for DirectoryQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "depth={}&limit={}", self.depth, self.limit)?;
        if self.hidden {
            f.write_str("&hidden=true")?;
        }
        for (name, value) in [("glob", &self.glob), ("cursor", &self.cursor)] {
            if let Some(value) = value {
                write!(f, "&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))?;
            }
        }
        Ok(())
    }
}

/// The answer of `GET …/directory/{path}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DirectoryPage {
    /// The absolute path of the directory.
    pub path: String,
    /// The entries, in the order of the bytes of their paths.
    pub entries: Vec<Entry>,
    /// The cursor of the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The number of entries that are left out because their paths are not UTF-8, if there are any.
    /// Entries of such a directory are not counted.
    #[serde(skip_serializing_if = "crate::json::is_zero")]
    pub unnamed: u64,
}

impl DirectoryPage {
    /// The page of a directory in which nothing is.
    pub fn empty(path: &FilePath) -> Self {
        Self {
            path: path.to_string(),
            entries: Vec::new(),
            cursor: None,
            unnamed: 0,
        }
    }
}

/// The last line of a listing as NDJSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListingEnd {
    /// Always true. A listing without this line is not whole.
    pub end: True,
    /// The number of entries before.
    pub entries: u64,
    /// The number of entries that are left out because their paths are not UTF-8.
    pub unnamed: u64,
}

/// The answer of `PUT …/directory/{path}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DirectoryCreated {
    /// Always true. A failure is an error response.
    pub ok: True,
    /// Whether the directory was created. If not, it existed.
    pub created: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_and_written() {
        for (text, written) in [
            ("", "depth=1&limit=100"),
            ("glob=&cursor=", "depth=1&limit=100"),
            (
                "depth=3&limit=7&hidden=true&glob=*.rs&cursor=a/b%20c",
                "depth=3&limit=7&hidden=true&glob=%2A%2Ers&cursor=a%2Fb%20c",
            ),
        ] {
            let query = DirectoryQuery::parse(text).unwrap();
            assert_eq!(query.to_string(), written);
            assert_eq!(DirectoryQuery::parse(written).unwrap(), query);
        }
        for text in [
            "depth=0",
            "depth=-1",
            "depth=4097",
            "limit=0",
            "limit=1001",
            "hidden=1",
        ] {
            assert_eq!(DirectoryQuery::parse(text).unwrap_err().status(), 400, "{text}");
        }
        let long = format!("glob={}", "a".repeat(MAX_GLOB + 1));
        assert!(DirectoryQuery::parse(&long).is_err());
    }
}
