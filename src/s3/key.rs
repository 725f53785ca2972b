//! Keys: as s3fs names them, and as they are in the bucket.

use sandbox_protocol::mount::Prefix;

use super::error::S3Error;

/// The most bytes of a key.
const MAX_LENGTH: usize = 1024;

/// The key of an object as s3fs names it: 1 to 1024 bytes without the parts `.` and `..`, which URLs take away on the
/// way, and with them whatever is before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Parses a key as it stands in a path, percent-encoded.
    pub fn parse(encoded: &str) -> Result<Self, S3Error> {
        let key = decode(encoded).ok_or(S3Error::InvalidRequest("the key is not UTF-8, percent-encoded"))?;
        if key.is_empty() || key.len() > MAX_LENGTH {
            return Err(S3Error::InvalidRequest("a key has 1 to 1024 bytes"));
        }
        if key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(S3Error::AccessDenied("a key has no parts '.' and '..'"));
        }
        Ok(Self(key))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The part of a bucket that a mount shows: the keys that begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// That of a mount with this prefix; without one, it is the whole bucket.
    pub fn new(prefix: Option<&Prefix>) -> Self {
        Self(prefix.map_or_else(String::new, |prefix| {
            format!("{}/", prefix.as_str().trim_start_matches('/'))
        }))
    }

    /// What stands in the bucket for what s3fs names so: a key, or the beginning of keys.
    pub fn inside(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// What s3fs is told of a name in the bucket; `None` when it is none of its business.
    pub fn shown(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.0)?;
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// Percent-encoded text, decoded; `None` for broken escapes and what is not UTF-8.
pub fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
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
        assert_eq!(scope.inside("a/b"), "users/7/a/b");
        assert_eq!(scope.inside(""), "users/7/");
        assert_eq!(scope.shown("users/7/a").as_deref(), Some("a"));
        for hidden in ["users/7/", "users/7", "users/77", "users/8/a", ""] {
            assert_eq!(scope.shown(hidden), None, "{hidden}");
        }
        let whole = Scope::new(None);
        assert_eq!(
            (whole.inside("a"), whole.shown("a")),
            ("a".to_owned(), Some("a".to_owned()))
        );
    }
}
