use sandbox_protocol::FileRoots;

use super::*;

fn entry(path: &str, kind: IndexKind, target: Option<&str>) -> IndexEntry {
    let target = target.map(str::to_owned);
    IndexEntry(path.to_owned(), kind, 0o644, 3, (1, 0), 0, 512, target)
}

fn index(entries: &[IndexEntry]) -> Index {
    let mut index = Index::default();
    for entry in entries {
        index.members.insert(entry.0.clone(), entry.clone());
    }
    index
}

fn tree() -> Index {
    let file = |path| entry(path, IndexKind::File, None);
    let directory = |path| entry(path, IndexKind::Directory, None);
    let link = |path, target| entry(path, IndexKind::Symlink, Some(target));
    index(&[
        directory(""),
        directory("a"),
        file("a/b"),
        file("a-c"),
        file(".hidden"),
        link("to-a", "a"),
        link("a/up", "../a-c"),
        link("absolute", "/workspace/a/b"),
        link("out", "/etc/passwd"),
        link("above", "../../etc"),
        link("beside", "/workspaces"),
        link("loop", "loop"),
    ])
}

#[test]
fn links_are_followed_within_the_directory() {
    let tree = tree();
    let find = |path: &str, follow| {
        tree.find("/workspace", path, follow)
            .map(|found| found.map(|entry| entry.0.as_str()))
    };
    for (path, found) in [
        ("", Some("")),
        ("a/b", Some("a/b")),
        ("to-a/b", Some("a/b")),
        ("a/up", Some("a-c")),
        ("to-a/up", Some("a-c")),
        ("absolute", Some("a/b")),
        ("loop", None),
        ("a/x", None),
        ("a/b/c", None),
    ] {
        assert_eq!(find(path, true), Ok(found), "{path}");
    }
    for path in ["out", "out/x", "above", "beside"] {
        assert_eq!(find(path, true), Err(Outside), "{path}");
    }
    assert_eq!(find("out", false), Ok(Some("out")));
    assert_eq!(find("to-a", false), Ok(Some("to-a")));
}

#[test]
fn a_listing_has_the_order_and_the_pages_of_a_running_sandbox() {
    let path = FilePath::parse("path", "/workspace", &FileRoots::default()).unwrap();
    let tree = tree();
    let list = |query: &str| {
        let query = DirectoryQuery::parse(query).unwrap();
        let page = tree.list("", &path, &query, (1, 2));
        let names: Vec<_> = page
            .entries
            .iter()
            .map(|entry| entry.path.strip_prefix("/workspace/").unwrap().to_owned())
            .collect();
        (names, page.cursor)
    };
    assert_eq!(
        list("").0,
        ["a", "a-c", "above", "absolute", "beside", "loop", "out", "to-a"]
    );
    assert_eq!(
        list("hidden=true&limit=1"),
        (vec![".hidden".into()], Some(".hidden".into()))
    );
    assert_eq!(list("depth=2&glob=*b").0, ["a/b"]);
    assert_eq!(list("depth=2&glob=a/*").0, ["a/b", "a/up"]);
    assert_eq!(
        list("depth=2&limit=2"),
        (vec!["a".into(), "a-c".into()], Some("a-c".into()))
    );
    assert_eq!(list("depth=2&limit=2&cursor=a-c").0, ["a/b", "a/up"]);
}

#[test]
fn the_frames_of_a_file_are_a_range() {
    let mebibyte = FRAME_BYTES as u64;
    let mut tree = Index {
        frames: vec![0, 100, 900, 1000],
        ..Index::default()
    };
    let file = |size, frame, offset| {
        IndexEntry(
            "f".into(),
            IndexKind::File,
            0o644,
            size,
            (0, 0),
            frame,
            offset,
            None,
        )
    };
    assert_eq!(tree.range(&file(5, 0, 512)), Some((0, 99)));
    assert_eq!(tree.range(&file(5, 900, 512)), Some((900, 999)));
    assert_eq!(tree.range(&file(3 * mebibyte, 100, 512)), Some((100, 999)));
    assert_eq!(tree.range(&file(3 * mebibyte, 900, 512)), Some((900, 999)));
    tree.frames = vec![0];
    assert_eq!(tree.range(&file(5, 0, 512)), None);
}

#[test]
fn bytes_that_are_no_archive_are_an_error() {
    for bytes in [
        &b""[..],
        b"abc",
        b"\x58\x2a\x4d\x18\x03\0\0\0abc",
        b"\x59\x2a\x4d\x18\0\0\0\0",
    ] {
        assert!(Index::parse(bytes, 0).is_err(), "{bytes:?}");
    }
    let file = entry("f", IndexKind::File, None);
    assert!(content(&file, b"garbage").is_err());
    assert!(content(&file, b"").is_err());
}
