//! The workspace as an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::fs::{mkdirat, mknodat, open, openat, utimensat};
use sandbox_protocol::ErrorCode;
use tar::EntryType;
use tempfile::TempDir;

use crate::support::{Sandboxd, error_of, gnu_tar, is_root, no_text, snapshot};

/// Sets the time of `path` itself, without following a link.
fn set_time(path: &Path, tv_sec: i64, tv_nsec: i64) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Fills a directory with one of everything that an archive keeps.
fn fill(root: &Path) {
    let long = "long directory name/".repeat(20);
    for directory in ["empty", "src/deep/er", "日本", "bare", &long] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let all: Vec<u8> = (0..=255).cycle().take(300_001).collect();
    for (name, bytes) in [
        ("src/main.py", &b"print()\n"[..]),
        ("src/deep/er/empty", b""),
        ("src/block", &all[..512]),
        ("src/large", &all),
        ("日本/é 🦀", b"unicode"),
        ("new\nline", b"n"),
        (" spaces and % and \\", b"s"),
        ("-rf", b"dash"),
        (&"n".repeat(255), b"long"),
        (&"m".repeat(100), b"100"),
        (&"o".repeat(98), b"98"),
        (&format!("{long}leaf"), b"leaf"),
    ] {
        fs::write(root.join(name), bytes).unwrap();
    }
    fs::write(root.join(no_text()), "bytes").unwrap();
    fs::create_dir(root.join("p".repeat(200))).unwrap();
    fs::write(root.join("p".repeat(200)).join(no_text()), "bytes").unwrap();
    symlink("main.py", root.join("src/link")).unwrap();
    symlink("/usr/bin/env", root.join("absolute")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("t/".repeat(150), root.join("long target")).unwrap();
    fs::set_permissions(root.join("src/main.py"), PermissionsExt::from_mode(0o750)).unwrap();
    fs::set_permissions(root.join("-rf"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::set_permissions(root.join("bare"), PermissionsExt::from_mode(0o700)).unwrap();
    set_time(&root.join("absolute"), 1_234_567_890, 5);
    set_time(&root.join("src/block"), -86_400, 750_000_000);
    set_time(&root.join("src"), 1_000_000_000, 123_456_789);
    set_time(root, 1_500_000_000, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gnu_tar_unpacks_what_was_there() {
    let sandboxd = Sandboxd::start();
    fill(&sandboxd.inside(""));
    let expected = snapshot(&sandboxd.inside(""));
    let archive = sandboxd.persist("").await;
    assert_eq!(archive.len() % 512, 0);
    let unpacked = TempDir::new().unwrap();
    gnu_tar(unpacked.path(), &["-xpf", "-"], &archive);
    assert_eq!(snapshot(unpacked.path()), expected);

    // The other verb, and what is ignored.
    let client = reqwest::Client::new();
    let post = client
        .post(sandboxd.url("/persist?unknown=..&excludes="))
        .send()
        .await
        .unwrap();
    assert!(post.bytes().await.unwrap() == archive);
    // And back.
    let fresh = Sandboxd::start();
    fresh.hydrate(archive).await;
    assert_eq!(snapshot(&fresh.inside("")), expected);
    // To the nanosecond, as `make` compares times.
    for (name, nanoseconds) in [("absolute", 5), ("src/block", 750_000_000), ("src", 123_456_789)] {
        for root in [unpacked.path(), &fresh.inside("")] {
            let metadata = fs::symlink_metadata(root.join(name)).unwrap();
            assert_eq!(metadata.mtime_nsec(), nanoseconds, "{name}");
        }
    }
}

/// Clients refuse absolute links when they resume.
#[tokio::test(flavor = "multi_thread")]
async fn links_to_the_workspaces_own_path_are_relative() {
    let sandboxd = Sandboxd::start();
    fs::create_dir_all(sandboxd.inside("x/y")).unwrap();
    fs::write(sandboxd.inside("a"), "target").unwrap();
    for link in ["abs", "x/abs", "x/y/abs"] {
        symlink(sandboxd.inside("a"), sandboxd.inside(link)).unwrap();
    }
    symlink(sandboxd.inside(""), sandboxd.inside("x/root")).unwrap();
    symlink("/etc/hostname", sandboxd.inside("outside")).unwrap();
    let archive = sandboxd.persist("").await;
    let fresh = Sandboxd::start();
    fresh.hydrate(archive).await;
    for (link, target) in [
        ("abs", "a"),
        ("x/abs", "../a"),
        ("x/y/abs", "../../a"),
        ("x/root", ".."),
        ("outside", "/etc/hostname"),
    ] {
        assert_eq!(
            fs::read_link(fresh.inside(link)).unwrap(),
            Path::new(target),
            "{link}"
        );
    }
    assert_eq!(
        fs::read_to_string(fresh.inside("x/root/x/y/abs")).unwrap(),
        "target"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_links_are_files_and_what_is_no_file_is_left_out() {
    let sandboxd = Sandboxd::start();
    fs::write(sandboxd.inside("a"), "same").unwrap();
    fs::hard_link(sandboxd.inside("a"), sandboxd.inside("b")).unwrap();
    mknodat(CWD, sandboxd.inside("fifo"), FileType::Fifo, 0o644.into(), 0).unwrap();
    let _listener = UnixListener::bind(sandboxd.inside("socket")).unwrap();
    if is_root() {
        let device = rustix::fs::makedev(1, 3);
        let _ = mknodat(
            CWD,
            sandboxd.inside("device"),
            FileType::CharacterDevice,
            0o644.into(),
            device,
        );
    }
    // Temporary files of an unfinished upload and hydrate.
    fs::write(sandboxd.inside(".sandbar-upload-0123456789abcdef"), "half").unwrap();
    fs::create_dir(sandboxd.inside(".sandbar-hydrate-0123456789abcdef")).unwrap();
    fs::write(sandboxd.inside(".sandbar-upload-notes"), "a file").unwrap();

    let archive = sandboxd.persist("").await;
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut members = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        assert!(
            members
                .insert(name, (entry.header().entry_type(), text))
                .is_none()
        );
    }
    let file = |text: &str| (EntryType::Regular, text.to_owned());
    let expected = [
        ("./", (EntryType::Directory, String::new())),
        ("./.sandbar-upload-notes", file("a file")),
        ("./a", file("same")),
        ("./b", file("same")),
    ];
    assert_eq!(
        members,
        expected.map(|(name, member)| (name.to_owned(), member)).into()
    );
}

/// The rules of the Python client before it hydrates.
#[tokio::test(flavor = "multi_thread")]
async fn clients_take_every_member() {
    let sandboxd = Sandboxd::start();
    fill(&sandboxd.inside(""));
    fs::remove_file(sandboxd.inside(" spaces and % and \\")).unwrap();
    let archive = sandboxd.persist("").await;
    let mut archive = tar::Archive::new(archive.as_slice());
    let (mut seen, mut links) = (BTreeSet::new(), BTreeSet::new());
    // Raw: as the headers are, with no names from before them.
    for entry in archive.entries().unwrap().raw(true) {
        let entry = entry.unwrap();
        let name = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::XHeader {
            continue;
        }
        assert!(
            matches!(
                kind,
                EntryType::Directory | EntryType::Regular | EntryType::Symlink
            ),
            "{kind:?}"
        );
        assert!(name.starts_with(b"./") && !name.contains(&b'\\'));
        assert!(!name.split(|b| *b == b'/').any(|part| part == b".."));
        if name.len() < 100 {
            assert!(seen.insert(name.clone()), "twice: {name:?}");
        }
        if kind == EntryType::Symlink {
            links.insert(name);
        }
    }
    for name in &seen {
        let below = |link: &&Vec<u8>| {
            name.strip_prefix(link.as_slice())
                .is_some_and(|rest| rest.starts_with(b"/"))
        };
        assert_eq!(links.iter().find(below), None);
    }
    let listed = gnu_tar(Path::new("/"), &["-tf", "-"], &sandboxd.persist("").await);
    assert!(listed.starts_with(b"./\n"));
}

/// With something in the directories on the way back. It goes into an empty workspace, and over
/// itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_any_depth_is_written_whole_and_read() {
    const DEPTH: usize = 1000;
    let sandboxd = Sandboxd::start();
    let descriptors = || fs::read_dir(sandboxd.proc("fd")).unwrap().count();
    let opened = descriptors();
    let sh = |script: &str| {
        let mut bash = Command::new("bash");
        let output = bash
            .args(["-c", script])
            .current_dir(sandboxd.inside(""))
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let read = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut here = open(sandboxd.inside(""), read, Mode::empty()).unwrap();
    for level in 0..DEPTH {
        for name in ["a", "z"].iter().filter(|_| level % 8 == 0) {
            let create = OFlags::CREATE | OFlags::WRONLY;
            let file = openat(&here, *name, create, Mode::from_raw_mode(0o644)).unwrap();
            File::from(file).write_all(level.to_string().as_bytes()).unwrap();
        }
        mkdirat(&here, "d", Mode::from_raw_mode(0o755)).unwrap();
        here = openat(&here, "d", read, Mode::empty()).unwrap();
    }
    let archive = sandboxd.persist("format=tar.zst").await;
    let plain = zstd::decode_all(archive.as_slice()).unwrap();
    let mut entries = tar::Archive::new(plain.as_slice());
    let names = entries
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path_bytes().into_owned());
    let names: BTreeSet<_> = names.collect();
    assert_eq!(names.len(), 1 + DEPTH + 2 * DEPTH / 8);
    let list = "find . -printf '%y %s %m %T@ %P\\n' | sort | cksum";
    let before = sh(list);
    sh("echo changed >a; cd d/d/d/d/d/d/d/d; rm z; ln -s a z; cd d/d/d/d/d/d/d/d; rm a");
    sandboxd.hydrate(archive.clone()).await;
    assert_eq!(sh(list), before);
    sh("rm -rf d a z");
    sandboxd.hydrate(archive).await;
    assert_eq!(sh(list), before);
    assert!(descriptors() < opened + 32, "{} descriptors", descriptors());
}

#[tokio::test(flavor = "multi_thread")]
async fn formats() {
    let sandboxd = Sandboxd::start();
    fill(&sandboxd.inside(""));
    let plain = sandboxd.persist("format=tar").await;
    let mut unpacked = Vec::new();
    let gz = sandboxd.persist("format=tar.gz").await;
    flate2::read::GzDecoder::new(gz.as_slice())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert!(unpacked == plain && gz.len() < plain.len());
    let zst = sandboxd.persist("format=tar.zst").await;
    assert!(zstd::decode_all(zst.as_slice()).unwrap() == plain && zst.len() < plain.len());

    for query in ["format=zip", "excludes=a/../b", "excludes=%00"] {
        let (status, code, _) = error_of(sandboxd.get(&format!("/persist?{query}")).await).await;
        assert_eq!((status, code), (400, ErrorCode::InvalidRequest), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_workspace() {
    let sandboxd = Sandboxd::start();
    for format in ["tar", "tar.gz", "tar.zst"] {
        let archive = sandboxd.persist(&format!("format={format}")).await;
        sandboxd.hydrate(archive).await;
    }
    assert_eq!(snapshot(&sandboxd.inside("")).len(), 1);
}
