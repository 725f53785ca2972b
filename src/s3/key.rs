//! Keys: in the names of s3fs, and in the bucket.

use sandbox_protocol::mount::Prefix;
use sandbox_protocol::workspace_path;

use super::error::S3Error;

/// The maximum of bytes of a key.
const MAX_LENGTH: usize = 1024;

/// The key of an object as s3fs names it: 1 to 1024 bytes without the segments `.` and `..`: URL
/// parsers remove these, and the segment before `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Parses the key from a percent-encoded path.
    pub fn parse(encoded: &str) -> Result<Self, S3Error> {
        let key = workspace_path::decode(encoded)
            .map_err(|_| S3Error::InvalidRequest("the key is not UTF-8, percent-encoded"))?;
        if key.is_empty() || key.len() > MAX_LENGTH {
            return Err(S3Error::InvalidRequest("a key has 1 to 1024 bytes"));
        }
        if key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(S3Error::AccessDenied("a key has no parts '.' and '..'"));
        }
        Ok(Self(key.into_owned()))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The part of a bucket that a mount shows: the keys with this prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// The scope of a mount with this prefix; without one, it is the whole bucket.
    pub fn new(prefix: Option<&Prefix>) -> Self {
        Self(prefix.map_or_else(String::new, |prefix| {
            format!("{}/", prefix.as_str().trim_start_matches('/'))
        }))
    }

    /// The key in the bucket, or the prefix of keys, for a name of s3fs.
    pub fn with_prefix(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// The name for s3fs of a key in the bucket; `None` when it is outside the scope.
    pub fn without_prefix(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.0)?;
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (encoded, key) in [
            ("a", "a"),
            ("a%20b%2Bc+d", "a b+c+d"),
            ("d/", "d/"),
            ("%C3%A9", "é"),
            ("a//b", "a//b"),
            ("...", "..."),
            ("%252e%252e/x", "%2e%2e/x"),
        ] {
            assert_eq!(Key::parse(encoded).unwrap().as_str(), key);
        }
        for encoded in [
            "..",
            "../x",
            "a/../b",
            "a/%2e%2E",
            "a%2f..%2Fb",
            ".",
            "a/./b",
            "%2e",
        ] {
            assert!(
                matches!(Key::parse(encoded), Err(S3Error::AccessDenied(_))),
                "{encoded}"
            );
        }
        for encoded in ["", "%", "%4", "%zz", "%FF", "%+1", &"a".repeat(1025)] {
            assert!(
                matches!(Key::parse(encoded), Err(S3Error::InvalidRequest(_))),
                "{encoded}"
            );
        }
    }

    #[test]
    fn scopes() {
        let prefix = Prefix::parse("users/7/").unwrap();
        let scope = Scope::new(prefix.as_ref());
        assert_eq!(scope.with_prefix("a/b"), "users/7/a/b");
        assert_eq!(scope.with_prefix(""), "users/7/");
        assert_eq!(scope.without_prefix("users/7/a").as_deref(), Some("a"));
        for hidden in ["users/7/", "users/7", "users/77", "users/8/a", ""] {
            assert_eq!(scope.without_prefix(hidden), None, "{hidden}");
        }
        let whole = Scope::new(None);
        assert_eq!(
            (whole.with_prefix("a"), whole.without_prefix("a")),
            ("a".to_owned(), Some("a".to_owned()))
        );
    }
}
