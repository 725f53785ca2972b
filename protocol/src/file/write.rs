//! The query of `PUT …/file/{path}`.

use std::fmt;

use super::FileMode;
use crate::query::flag;
use crate::{Invalid, query};

/// The checked query of an upload. Parameters that it does not know are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Writes into the existing file, which keeps its inode, instead of renaming a new one over it.
    pub in_place: bool,
    /// Adds the body to the end of the existing file.
    pub append: bool,
    /// The permissions that the file gets. Absent: it keeps its own; a new one gets 0644.
    pub mode: Option<FileMode>,
}

impl WriteOptions {
    /// Parses a query without its `?`: `in_place=true`, `append=true`, `mode=0755`, each optional.
    ///
    /// # Errors
    ///
    /// 400 for another value.
    pub fn from_query(text: &str) -> Result<Self, Invalid> {
        // Unlike the other flags, this one has always been refused without a value.
        if query::value(text, "in_place")?.as_deref() == Some("") {
            return Err(Invalid::request("in_place must be true or false"));
        }
        let mode = query::value(text, "mode")?;
        Ok(Self {
            in_place: flag(text, "in_place")?,
            append: flag(text, "append")?,
            mode: mode.map(|mode| FileMode::parse(&mode)).transpose()?,
        })
    }
}

/// The query, as it stands in a URL.
impl fmt::Display for WriteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in_place={}&append={}", self.in_place, self.append)?;
        match self.mode {
            Some(mode) => write!(f, "&mode={mode}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_and_written() {
        for (query, written) in [
            ("", "in_place=false&append=false"),
            ("a=b", "in_place=false&append=false"),
            ("a=b&in_place=true", "in_place=true&append=false"),
            ("append=true&mode=755", "in_place=false&append=true&mode=0755"),
        ] {
            let options = WriteOptions::from_query(query).unwrap();
            assert_eq!(options.to_string(), written, "{query}");
            assert_eq!(WriteOptions::from_query(written).unwrap(), options);
        }
        for query in [
            "in_place=",
            "in_place=1",
            "in_place=TRUE",
            "append=1",
            "mode=x",
            "mode=",
        ] {
            assert_eq!(
                WriteOptions::from_query(query).unwrap_err().status(),
                400,
                "{query}"
            );
        }
    }
}
