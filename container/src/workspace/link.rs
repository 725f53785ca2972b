//! The targets of symbolic links in an archive.
//!
//! Clients refuse archives with absolute links, and an archive may be unpacked under another path:
//! a link to the workspace's own path is written relative to its directory. It leads to the same
//! file here, as the kernel takes `..` from the directory that the link is in. All other links are
//! written as they are.

use crate::paths::Names;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// The target to write for the link with the name `link` in the archive (`./a/b`) and the target
/// `target`.
pub(super) fn relative<'t>(names: &Names, link: &[u8], target: &'t [u8]) -> Cow<'t, [u8]> {
    if !target.starts_with(b"/") {
        return target.into();
    }
    let Some(below) = names.beneath(Path::new(OsStr::from_bytes(target))) else {
        return target.into();
    };
    if leaves(below) {
        return target.into();
    }
    let up = link
        .iter()
        .filter(|byte| **byte == b'/')
        .count()
        .saturating_sub(1);
    let mut relative = b"../".repeat(up);
    relative.extend_from_slice(below.as_os_str().as_bytes());
    if below.as_os_str().is_empty() {
        // The workspace itself.
        relative.pop();
    }
    if relative.is_empty() {
        relative.push(b'.');
    }
    relative.into()
}

/// Whether a `..` in a relative path leads above its start.
fn leaves(path: &Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_within_become_relative() {
        let root = tempfile::tempdir().unwrap();
        let names = Names::new(root.path()).unwrap();
        let root = root.path().to_str().unwrap();
        for (link, below, expected) in [
            ("./abs", "/a", "a"),
            ("./abs", "/a/b c", "a/b c"),
            ("./x/abs", "/a", "../a"),
            ("./x/y/abs", "//a/b/", "../../a/b"),
            ("./abs", "", "."),
            ("./abs", "/", "."),
            ("./x/abs", "", ".."),
            ("./x/y/abs", "/", "../.."),
            ("./x/abs", "/a/../b", "../a/../b"),
        ] {
            let target = format!("{root}{below}");
            let written = relative(&names, link.as_bytes(), target.as_bytes());
            assert_eq!(std::str::from_utf8(&written), Ok(expected), "{link} {below}");
        }
        for (link, target) in [
            ("./x/abs", "/etc/passwd".to_owned()),
            ("./x/abs", format!("{root}x/a")),
            ("./x/abs", format!("{root}/../a")),
            ("./x/abs", format!("{root}/a/../../b")),
            ("./x/abs", "a".to_owned()),
            ("./x/abs", "../../up".to_owned()),
        ] {
            let written = relative(&names, link.as_bytes(), target.as_bytes());
            assert_eq!(written, target.as_bytes(), "{target}");
        }
    }
}
