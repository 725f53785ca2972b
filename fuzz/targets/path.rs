//! A path in a URL, in a field, and to mount on: none leads out, each reads back, and POSIX would
//! resolve it alike.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use sandbox_protocol::WorkspacePath;
use sandbox_protocol::mount::MountPath;

/// Directories that nothing may be mounted on or in.
const SYSTEM: [&str; 8] = ["bin", "dev", "etc", "lib", "proc", "run", "sys", "usr"];

fuzz_target!(|text: &str| {
    in_url(text);
    in_field(text);
    to_mount_on(text);
});

fn in_url(encoded: &str) {
    let decoded: Option<Vec<String>> = encoded.split('/').map(decoded).collect();
    match WorkspacePath::from_url(encoded) {
        Ok(path) => {
            assert_stays(&path);
            assert_eq!(path.as_str(), resolved(&decoded.unwrap().join("/")));
        }
        Err(e) if e.status() == 403 => {
            assert!(!is_inside(&resolved(&decoded.unwrap().join("/"))));
        }
        Err(e) => {
            assert_eq!(e.status(), 400);
            let is_malformed = |path: &str| path.contains('\0') || path.bytes().all(|byte| byte == b'/');
            assert!(decoded.is_none_or(|names| is_malformed(&names.join("/"))), "{e}");
        }
    }
}

fn in_field(text: &str) {
    let resolved = if text.starts_with('/') {
        resolved(text)
    } else {
        resolved(&format!("workspace/{text}"))
    };
    match WorkspacePath::parse("cwd", text) {
        Ok(path) => {
            assert_stays(&path);
            assert_eq!(path.as_str(), resolved);
        }
        Err(e) if e.status() == 403 => assert!(!is_inside(&resolved)),
        Err(e) => assert!(e.status() == 400 && (text.is_empty() || text.contains('\0'))),
    }
}

fn to_mount_on(text: &str) {
    match MountPath::parse(text) {
        Ok(path) => {
            assert!(text.starts_with('/'));
            assert_eq!(path.as_str(), resolved(text));
            assert_eq!(MountPath::parse(path.as_str()).as_ref(), Ok(&path));
            let names: Vec<_> = path.names().collect();
            assert!(names.iter().all(|name| is_plain(name)));
            assert!(
                !SYSTEM.contains(&names[0]) && path.as_str() != "/workspace" && path.as_str().len() < 4096
            );
            assert_eq!(format!("/{}", names.join("/")), path.as_str());
            assert!(!path.is_below(&path));
            if let Ok(below) = MountPath::parse(&format!("{path}/x")) {
                assert!(below.is_below(&path) && !path.is_below(&below));
            }
        }
        Err(e) => assert_eq!(e.status(), 400),
    }
}

fn assert_stays(path: &WorkspacePath) {
    let text = path.as_str();
    assert!(is_inside(text));
    assert!(text.split('/').skip(1).all(is_plain));
    assert_eq!(path.is_root(), path.relative().is_empty());
    assert!(!path.relative().starts_with('/'));
    assert_eq!(Path::new("/workspace").join(path.relative()), Path::new(text));
    assert_eq!(WorkspacePath::parse("path", text).as_ref(), Ok(path));
    assert_eq!(
        WorkspacePath::parse("path", &format!("./{}", path.relative())).as_ref(),
        Ok(path)
    );
    let url = path.to_url();
    assert!(
        url.bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\".contains(&byte))
    );
    assert_eq!(WorkspacePath::from_url(&url).as_ref(), Ok(path));
}

fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('\0')
}

fn is_inside(path: &str) -> bool {
    path == "/workspace" || path.starts_with("/workspace/")
}

/// An absolute path, with or without its leading slash, resolved by POSIX rules as the standard
/// library reads them.
fn resolved(path: &str) -> String {
    let mut names = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().unwrap()),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", names.join("/"))
}

/// A segment of a URL without its escapes; `None` when it is malformed.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}
