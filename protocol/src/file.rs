//! The query of `PUT …/file/{path}`.

use crate::Invalid;

/// The checked query of an upload. Parameters that it does not know are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Writes into the existing file, which keeps its inode, instead of renaming a new one over it.
    pub in_place: bool,
}

impl WriteOptions {
    /// Parses a query without its `?`: `in_place=true` or `in_place=false`, optional.
    ///
    /// # Errors
    ///
    /// 400 for another value.
    pub fn from_query(query: &str) -> Result<Self, Invalid> {
        let mut options = Self::default();
        for parameter in query.split('&') {
            if let Some(value) = parameter.strip_prefix("in_place=") {
                options.in_place = value
                    .parse()
                    .map_err(|_| Invalid::request("in_place must be true or false"))?;
            }
        }
        Ok(options)
    }

    /// The suffix of the path in a URL; [`WriteOptions::from_query`] reads it back. Empty for the
    /// defaults.
    pub fn to_suffix(self) -> &'static str {
        if self.in_place { "?in_place=true" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_and_written() {
        for (query, in_place, suffix) in [
            ("", false, ""),
            ("a=b", false, ""),
            ("in_place=false", false, ""),
            ("a=b&in_place=true", true, "?in_place=true"),
        ] {
            let options = WriteOptions::from_query(query).unwrap();
            assert_eq!(
                (options.in_place, options.to_suffix()),
                (in_place, suffix),
                "{query}"
            );
        }
        for query in ["in_place=", "in_place=1", "in_place=TRUE"] {
            assert_eq!(
                WriteOptions::from_query(query).unwrap_err().status(),
                400,
                "{query}"
            );
        }
    }
}
