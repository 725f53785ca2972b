//! Paths of file routes, and the directories that they may lead to.

use std::fmt;
use std::sync::Arc;

use crate::Invalid;
use crate::workspace_path::{WORKSPACE, decode_path, is_within, normalise, outside, to_url};

/// Directories that are no roots: the kernel's, and the root of all files.
const REFUSED: [&str; 4] = ["/", "/dev", "/proc", "/sys"];

/// The directories that paths of file routes may lead to, each with all that is below:
/// [`WORKSPACE`] and those that the deployment adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRoots(Arc<[String]>);

impl Default for FileRoots {
    /// The workspace alone.
    fn default() -> Self {
        Self([WORKSPACE.to_owned()].into())
    }
}

impl FileRoots {
    /// Parses a list of absolute paths with `:` between them. The workspace is a root in any case.
    ///
    /// # Errors
    ///
    /// The message names the path that cannot be a root.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut roots = vec![WORKSPACE.to_owned()];
        for path in list.split(':').filter(|path| !path.is_empty()) {
            let refused = || format!("{path} cannot be a root of files");
            if !path.starts_with('/') {
                return Err(refused());
            }
            let root = normalise("root", path.split('/')).map_err(|_| refused())?;
            if root == "/" || REFUSED.iter().skip(1).any(|system| is_within(&root, system)) {
                return Err(refused());
            }
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        Ok(Self(roots.into()))
    }

    /// The roots, the workspace first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The roots as text for people: `/workspace or /tmp`.
    pub fn to_text(&self) -> String {
        self.0.join(" or ")
    }

    /// The innermost root that has a normalised path.
    fn root_of(&self, path: &str) -> Option<&str> {
        self.iter()
            .filter(|root| is_within(path, root))
            .max_by_key(|root| root.len())
    }
}

/// The list as [`FileRoots::parse`] reads it.
impl fmt::Display for FileRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(":"))
    }
}

/// An absolute, normalised path within one of the [`FileRoots`]: UTF-8, without NUL, `.`, `..` or
/// empty segments. As a [`crate::WorkspacePath`], it says nothing about symbolic links.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilePath {
    path: Arc<str>,
    /// The length of the root.
    root: usize,
}

impl FilePath {
    /// Parses the value of a field called `field`: absolute, or relative to the workspace.
    ///
    /// # Errors
    ///
    /// 400 when empty or with a NUL, 403 when it leads out of the roots.
    pub fn parse(field: &str, text: &str, roots: &FileRoots) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::request(format!("{field} must not be empty")));
        }
        let path = if text.starts_with('/') {
            normalise(field, text.split('/'))?
        } else {
            normalise(field, WORKSPACE.split('/').chain(text.split('/')))?
        };
        Self::within(field, path, roots)
    }

    /// Parses the rest of a URL's path, as [`crate::WorkspacePath::from_url`] does.
    ///
    /// # Errors
    ///
    /// 400 when empty, or with an encoded NUL, a broken escape or bytes that are not UTF-8; 403
    /// when it leads out of the roots.
    pub fn from_url(encoded: &str, roots: &FileRoots) -> Result<Self, Invalid> {
        let path = normalise("path", decode_path(encoded)?.split('/'))?;
        Self::within("path", path, roots)
    }

    fn within(field: &str, path: String, roots: &FileRoots) -> Result<Self, Invalid> {
        let root = roots.root_of(&path).map(str::len);
        let root = root.ok_or_else(|| outside(field, &roots.to_text()))?;
        Ok(Self {
            path: path.into(),
            root,
        })
    }

    /// The absolute path.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The root that it is within.
    pub fn root(&self) -> &str {
        self.path.get(..self.root).unwrap_or_default()
    }

    /// The path relative to its root; empty for that itself.
    pub fn relative(&self) -> &str {
        let rest = self.path.get(self.root..).unwrap_or_default();
        rest.trim_start_matches('/')
    }

    /// Whether this is below another path.
    pub fn is_below(&self, other: &Self) -> bool {
        self != other && is_within(&self.path, &other.path)
    }

    /// Whether this is a root itself.
    pub fn is_root(&self) -> bool {
        self.path.len() == self.root
    }

    /// The form that [`FilePath::from_url`] reads back: percent-encoded, no leading slash.
    pub fn to_url(&self) -> String {
        to_url(&self.path)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_the_workspace_and_what_is_added() {
        for (list, roots) in [
            ("", "/workspace"),
            ("/workspace", "/workspace"),
            ("/tmp:/home/a/", "/workspace:/tmp:/home/a"),
            (":/tmp::/tmp/../tmp", "/workspace:/tmp"),
        ] {
            assert_eq!(FileRoots::parse(list).unwrap().to_string(), roots, "{list}");
        }
        for list in ["tmp", "/", "/tmp:/..", "/proc", "/sys/fs", "/dev/shm", "/a\0"] {
            assert!(
                FileRoots::parse(list).unwrap_err().contains("cannot be"),
                "{list}"
            );
        }
    }

    #[test]
    fn a_path_is_within_its_innermost_root() {
        let roots = FileRoots::parse("/tmp:/workspace/inner").unwrap();
        for (text, root, relative) in [
            ("a/b", "/workspace", "a/b"),
            ("/workspace", "/workspace", ""),
            ("/workspace/inner/a", "/workspace/inner", "a"),
            ("/workspace/inner2", "/workspace", "inner2"),
            ("/tmp//x/./y/..", "/tmp", "x"),
        ] {
            let path = FilePath::parse("path", text, &roots).unwrap();
            assert_eq!((path.root(), path.relative()), (root, relative), "{text}");
            assert_eq!(path.is_root(), relative.is_empty());
            assert_eq!(FilePath::from_url(&path.to_url(), &roots).unwrap(), path);
        }
        let refused = FilePath::from_url("etc/passwd", &roots).unwrap_err();
        assert_eq!(
            (refused.status(), refused.message()),
            (
                403,
                "path must resolve to a location within /workspace or /tmp or /workspace/inner"
            )
        );
        for out in ["/tmp/../etc", "/tmpx", ".."] {
            let refused = FilePath::parse("path", out, &roots).unwrap_err();
            assert_eq!(refused.status(), 403, "{out}");
        }
        for bad in ["", "a\0"] {
            assert_eq!(FilePath::parse("path", bad, &roots).unwrap_err().status(), 400);
        }
    }
}
