//! The paths that a bucket can be mounted at.

use std::fmt;

use crate::Invalid;
use crate::workspace_path::WORKSPACE;

/// The directories of the system. A mount would hide what programs need there, or what protects the
/// sandbox's server.
const SYSTEM: [&str; 13] = [
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr",
];

/// The most bytes of a path that the kernel takes, its NUL included.
const PATH_MAX: usize = 4096;

/// An absolute, normalised path that a bucket can be mounted on: not `/`, not the workspace itself,
/// not a system directory. It may lie outside the workspace: `/mnt/data`.
///
/// Normalised by POSIX rules on the text alone. `sandboxd` follows no symbolic link on the way to
/// it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountPath(String);

impl MountPath {
    /// Parses the field `mountPath`.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::request("mountPath must be a non-empty string"));
        }
        if !text.starts_with('/') {
            return Err(Invalid::request(
                "mountPath must be an absolute path (start with /)",
            ));
        }
        if text.contains('\0') {
            return Err(Invalid::request("mountPath must not contain NUL"));
        }
        if text.len() >= PATH_MAX {
            return Err(Invalid::request("mountPath is too long"));
        }
        let mut names: Vec<&str> = Vec::new();
        for segment in text.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    names.pop();
                }
                name => names.push(name),
            }
        }
        let path = Self(format!("/{}", names.join("/")));
        match names.as_slice() {
            [] => Err(Invalid::request(
                "mountPath must not resolve to / (filesystem root)",
            )),
            [first, ..] if SYSTEM.contains(first) => Err(Invalid::request(format!(
                "mountPath must not lie in a directory of the system (/{first})"
            ))),
            _ if path.0 == WORKSPACE => Err(Invalid::request(format!(
                "mountPath must not be {WORKSPACE} itself; a bucket can be mounted below it"
            ))),
            _ => Ok(path),
        }
    }

    /// The absolute path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, from the root down; at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }

    /// Whether this path lies below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0
            .strip_prefix(&other.0)
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised() {
        for (text, path) in [
            ("/mnt/data", "/mnt/data"),
            ("//mnt/./data//", "/mnt/data"),
            ("/mnt/../data", "/data"),
            ("/../../data", "/data"),
            ("/workspace/data", "/workspace/data"),
            ("/usrlocal/é", "/usrlocal/é"),
        ] {
            assert_eq!(MountPath::parse(text).unwrap().as_str(), path, "{text}");
        }
        let path = MountPath::parse("/a/b").unwrap();
        assert_eq!(path.names().collect::<Vec<_>>(), ["a", "b"]);
        let below = |text: &str| MountPath::parse(text).unwrap().is_below(&path);
        assert!(below("/a/b/c") && !below("/a/b") && !below("/a/bc"));
    }

    #[test]
    fn unsuitable_paths_are_refused() {
        for (text, word) in [
            ("", "non-empty"),
            ("data", "absolute"),
            ("/", "filesystem root"),
            ("/a/..", "filesystem root"),
            ("/etc", "system (/etc)"),
            ("/mnt/../usr/lib/x", "system (/usr)"),
            ("/proc/self", "system (/proc)"),
            ("/run/x", "system (/run)"),
            ("/workspace/", "/workspace itself"),
            ("/a\0", "NUL"),
        ] {
            let refused = MountPath::parse(text).unwrap_err();
            assert_eq!(refused.status(), 400);
            assert!(refused.message().contains(word), "{text}: {refused}");
        }
        assert!(MountPath::parse(&format!("/{}", "x".repeat(4096))).is_err());
    }
}
