//! Archives that would write where they must not.

use std::fs;

use sandbox_protocol::ErrorCode;
use tar::EntryType;

use crate::archive::{Archive, gzip};
use crate::support::{Sandboxd, snapshot};

/// The first member, large enough that it is on disk before the next one is read.
fn prefix() -> Archive {
    Archive::default()
        .directory("./")
        .file("./old", b"changed")
        .file("./new", &[b'n'; 100_000])
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_lead_outside_are_refused_and_nothing_is_written() {
    let sandboxd = Sandboxd::start();
    fs::write(sandboxd.inside("old"), "old").unwrap();
    fs::create_dir(sandboxd.inside("dir")).unwrap();
    let before = snapshot(&sandboxd.inside(""));
    let outside = sandboxd.parent.path().join("outside");
    let outside = outside.to_str().unwrap();
    let absolute = format!("{outside}/absolute");
    let deep = "d/".repeat(49);
    let kind = |kind, name: &str| prefix().member(kind, name, "", 0o644, b"");
    for (name, archive) in [
        (absolute.as_str(), prefix().file(&absolute, b"x")),
        ("/", prefix().directory("/")),
        ("../outside/up", prefix().file("../outside/up", b"x")),
        (
            "dir/../../outside/up",
            prefix().file("dir/../../outside/up", b"x"),
        ),
        ("..", prefix().directory("..")),
        ("a/..", prefix().symlink("a/..", "x")),
        ("out/f", prefix().symlink("out", outside).file("out/f", b"x")),
        (
            "out/f",
            prefix().symlink("out", outside).hard_link("out/f", "./new"),
        ),
        (
            "out/d/f",
            prefix().symlink("out", "../outside").file("out/d/f", b"x"),
        ),
        (
            "in/out/f",
            prefix()
                .directory("in")
                .symlink("in/out", outside)
                .directory("in/out/f"),
        ),
        (
            "one/f",
            prefix()
                .symlink("two", outside)
                .symlink("one", "two")
                .file("one/f", b"x"),
        ),
        ("file/f", prefix().file("file", b"x").file("file/f", b"x")),
        ("hard", prefix().hard_link("hard", &format!("{outside}/secret"))),
        ("hard", prefix().hard_link("hard", "../outside/secret")),
        ("hard", prefix().hard_link("hard", "dir/../../outside/secret")),
        (
            "hard",
            prefix().symlink("out", outside).hard_link("hard", "out/secret"),
        ),
        ("hard", prefix().hard_link("hard", "old/missing")),
        ("hard", prefix().hard_link("hard", "dir")),
        ("hard", prefix().hard_link("hard", "hard")),
        ("hard", prefix().hard_link("hard", ".")),
        ("hard", prefix().directory("made").hard_link("hard", "made")),
        ("fifo", kind(EntryType::Fifo, "fifo")),
        ("null", kind(EntryType::Char, "null")),
        ("sda", kind(EntryType::Block, "sda")),
        ("dump", kind(EntryType::new(b'D'), "dump")),
        ("link", kind(EntryType::Symlink, "link")),
        ("./", kind(EntryType::Symlink, "./")),
        (".", prefix().file(".", b"x")),
        ("", prefix().file("", b"x")),
        ("made", prefix().file("made/f", b"x").file("made", b"x")),
    ] {
        let (status, code, text) = sandboxd.error_of(archive.end()).await;
        assert_eq!((status, code), (400, ErrorCode::InvalidRequest), "{name}: {text}");
        assert!(text.starts_with(&format!("{name}: ")), "{name}: {text}");
        assert_eq!(snapshot(&sandboxd.inside("")), before, "{name}");
        sandboxd.assert_clean();
    }

    let long = |name: &str| {
        let path = format!("{} path={name}\n", name.len() + 10);
        prefix()
            .member(EntryType::XHeader, "pax", "", 0o644, path.as_bytes())
            .file("short", b"x")
    };
    let global = prefix().member(EntryType::XGlobalHeader, "g", "", 0o644, b"19 path=/etc/passwd\n");
    for archive in [
        // Names as PAX has them, and GNU.
        prefix()
            .member(EntryType::XHeader, "pax", "", 0o644, b"18 path=../escaped\n")
            .file("short", b"x"),
        prefix()
            .member(EntryType::XHeader, "pax", "", 0o644, b"15 path=a\0/../b\n")
            .file("short", b"x"),
        prefix()
            .member(EntryType::GNULongName, "long", "", 0o644, b"/tmp/absolute\0")
            .file("short", b"x"),
        prefix()
            .member(EntryType::GNULongLink, "long", "", 0o644, b"../outside/secret\0")
            .hard_link("short", "new"),
        prefix()
            .file(&format!("{deep}x"), b"")
            .member(EntryType::XHeader, "pax", "", 0o644, b"nonsense"),
        global.file("f", b"x"),
        long(&"n".repeat(256)),
        prefix().member(EntryType::GNUSparse, "sparse", "", 0o644, &[1; 1000]),
    ] {
        let (status, code, text) = sandboxd.error_of(gzip(&archive.end())).await;
        assert_eq!((status, code), (400, ErrorCode::InvalidRequest), "{text}");
        assert_eq!(snapshot(&sandboxd.inside("")), before, "{text}");
        sandboxd.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_there_already_is_not_written_through() {
    let sandboxd = Sandboxd::start();
    std::os::unix::fs::symlink("../outside", sandboxd.inside("out")).unwrap();
    std::os::unix::fs::symlink("../outside/secret", sandboxd.inside("file")).unwrap();
    let archive = Archive::default()
        .file("out/secret", b"changed")
        .file("file", b"changed");
    sandboxd.hydrate(archive.end()).await;
    let secret = sandboxd.parent.path().join("outside/secret");
    assert_eq!(fs::read_to_string(secret).unwrap(), "secret");
    assert_eq!(
        fs::read_to_string(sandboxd.inside("out/secret")).unwrap(),
        "changed"
    );
}
