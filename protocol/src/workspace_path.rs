//! Paths of the workspace.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::Invalid;

/// The directory that clients may name; everything outside is refused.
pub const WORKSPACE: &str = "/workspace";

/// The characters to escape in a URL's path so that it arrives byte for byte (`/` stays: it
/// separates).
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An absolute, normalised path: [`WORKSPACE`] or below it, UTF-8, without NUL, `.`, `..` or empty
/// segments.
///
/// Normalised by POSIX rules on the text alone, without regard to symbolic links: `sandboxd` opens
/// every path beneath the workspace, so that a link out of it is refused where it is followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkspacePath(String);

impl WorkspacePath {
    /// The workspace itself.
    pub fn root() -> Self {
        Self(WORKSPACE.to_owned())
    }

    /// Parses the value of a field called `field`: absolute, or relative to the workspace.
    ///
    /// # Errors
    ///
    /// 400 when empty or with a NUL, 403 when it leads out of the workspace.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::request(format!("{field} must not be empty")));
        }
        if text.starts_with('/') {
            Self::normalise(field, text.split('/'))
        } else {
            Self::normalise(field, WORKSPACE.split('/').chain(text.split('/')))
        }
    }

    /// Parses the rest of a URL's path after `/file/`: percent-encoded, absolute without its
    /// leading slash. An encoded slash separates like any other: clients that are made from an
    /// OpenAPI document encode all of them.
    ///
    /// # Errors
    ///
    /// 400 when empty, or with an encoded NUL, a broken escape or bytes that are not UTF-8; 403
    /// when it leads out of the workspace.
    pub fn from_url(encoded: &str) -> Result<Self, Invalid> {
        let path = decode_path(encoded)?;
        Self::normalise("path", path.split('/'))
    }

    fn normalise<'a>(field: &str, segments: impl Iterator<Item = &'a str>) -> Result<Self, Invalid> {
        let path = normalise(field, segments)?;
        if is_within(&path, WORKSPACE) {
            Ok(Self(path))
        } else {
            Err(outside(field, WORKSPACE))
        }
    }

    /// The absolute path, `/workspace/…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path relative to the workspace; empty for the workspace itself.
    pub fn relative(&self) -> &str {
        below(&self.0, WORKSPACE)
    }

    /// Whether this is the workspace itself.
    pub fn is_root(&self) -> bool {
        self.0 == WORKSPACE
    }

    /// The form that [`WorkspacePath::from_url`] reads back: percent-encoded, no leading slash.
    pub fn to_url(&self) -> String {
        to_url(&self.0)
    }
}

impl fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An absolute path of these segments, without `.`, `..` and empty ones. Errors: 400 for a NUL.
pub(crate) fn normalise<'a>(field: &str, segments: impl Iterator<Item = &'a str>) -> Result<String, Invalid> {
    let mut names: Vec<&str> = Vec::new();
    for segment in segments {
        if segment.contains('\0') {
            return Err(Invalid::request(format!("{field} must not contain NUL")));
        }
        match segment {
            "" | "." => {}
            // POSIX: the parent of the root is the root.
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    Ok(format!("/{}", names.join("/")))
}

/// Whether a normalised path is `directory` or below it.
pub(crate) fn is_within(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The part of a normalised path below `directory`, which it is within; empty for that itself.
pub(crate) fn below<'p>(path: &'p str, directory: &str) -> &'p str {
    let rest = path.strip_prefix(directory);
    rest.map_or("", |rest| rest.trim_start_matches('/'))
}

/// The error for a path that leads out of `directories`.
pub(crate) fn outside(field: &str, directories: &str) -> Invalid {
    Invalid::outside(format!("{field} must resolve to a location within {directories}"))
}

/// The form of an absolute path that [`decode_path`] reads back: percent-encoded, no leading slash.
pub(crate) fn to_url(path: &str) -> String {
    utf8_percent_encode(path.trim_start_matches('/'), ESCAPED).to_string()
}

/// Decodes a path in a URL. Errors: those of [`decode`], and 400 when it is empty.
pub(crate) fn decode_path(encoded: &str) -> Result<Cow<'_, str>, Invalid> {
    let path = decode(encoded)?;
    if path.split('/').all(str::is_empty) {
        return Err(Invalid::request("file path must not be empty"));
    }
    Ok(path)
}

/// Decodes a percent-encoded path.
///
/// # Errors
///
/// 400 for invalid escapes and invalid UTF-8.
pub fn decode(encoded: &str) -> Result<Cow<'_, str>, Invalid> {
    let mut escapes = encoded.split('%').skip(1);
    if escapes.any(|rest| {
        !rest
            .as_bytes()
            .get(..2)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    }) {
        return Err(Invalid::request("path has a broken percent escape"));
    }
    percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| Invalid::request("path must be UTF-8, percent-encoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(encoded: &str) -> Result<String, (u16, String)> {
        WorkspacePath::from_url(encoded)
            .map(|path| path.as_str().to_owned())
            .map_err(|e| (e.status(), e.message().to_owned()))
    }

    #[test]
    fn url_paths_are_decoded_and_normalised() {
        for (encoded, path) in [
            ("workspace/main.py", "/workspace/main.py"),
            ("/workspace//a/./b/", "/workspace/a/b"),
            ("workspace/a/../b", "/workspace/b"),
            ("workspace/a/../../workspace/b", "/workspace/b"),
            ("workspace/a%20b%25%0A%C3%A9", "/workspace/a b%\né"),
            ("workspace/..hidden", "/workspace/..hidden"),
            ("workspace", "/workspace"),
            ("../../workspace/x", "/workspace/x"),
            ("workspace%2Fdir%2fa%20b", "/workspace/dir/a b"),
            ("%2Fworkspace%2Fa%2F%2E%2E%2Fb", "/workspace/b"),
        ] {
            assert_eq!(url(encoded).as_deref(), Ok(path), "{encoded}");
        }
    }

    #[test]
    fn what_leads_out_is_403_and_what_is_malformed_400() {
        for out in [
            "etc/passwd",
            "workspace/../etc/passwd",
            "workspace/%2e%2e/etc",
            "workspace%2F..%2Fetc",
            "workspace/a%2F..%2f..%2Fetc",
            "%2Fetc%2Fpasswd",
            "workspacex/a",
            "..",
            "main.py",
        ] {
            let (status, message) = url(out).unwrap_err();
            assert_eq!(
                (status, message.contains("within /workspace")),
                (403, true),
                "{out}"
            );
        }
        for bad in [
            "",
            "/",
            "//",
            "%2F",
            "workspace/a%00",
            "workspace/%",
            "workspace/%4",
            "workspace/%zz",
            "workspace/%FF",
        ] {
            assert_eq!(url(bad).unwrap_err().0, 400, "{bad}");
        }
    }

    #[test]
    fn field_paths_may_be_relative_to_the_workspace() {
        for (text, path) in [
            ("src", "/workspace/src"),
            ("/workspace", "/workspace"),
            (".", "/workspace"),
            ("a/../b", "/workspace/b"),
        ] {
            assert_eq!(WorkspacePath::parse("cwd", text).unwrap().as_str(), path);
        }
        let refused = WorkspacePath::parse("cwd", "/etc").unwrap_err();
        assert_eq!(
            (refused.status(), refused.message()),
            (403, "cwd must resolve to a location within /workspace")
        );
        assert_eq!(WorkspacePath::parse("cwd", "..").unwrap_err().status(), 403);
        assert_eq!(WorkspacePath::parse("cwd", "").unwrap_err().status(), 400);
        assert_eq!(
            WorkspacePath::parse("cwd", "/workspace/a\0")
                .unwrap_err()
                .status(),
            400
        );
    }

    #[test]
    fn the_url_form_reads_back() {
        for name in [
            "/workspace/a b%\n\té?#[]&+\\\"'",
            "/workspace",
            "/workspace/%2F",
            "/workspace/日本/語",
        ] {
            let path = WorkspacePath::parse("path", name).unwrap();
            assert!(path.to_url().is_ascii());
            assert_eq!(WorkspacePath::from_url(&path.to_url()).unwrap(), path);
        }
        assert_eq!(WorkspacePath::parse("path", "a/b").unwrap().relative(), "a/b");
        assert_eq!(WorkspacePath::root().relative(), "");
    }
}
