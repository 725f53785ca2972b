//! The workspace as an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, mknodat, utimensat};
use sandbox_protocol::ErrorCode;
use tar::EntryType;
use tempfile::TempDir;

use crate::support::{Sandboxd, gnu_tar, is_root, no_text, program, refusal, snapshot};

/// Sets the time of what `path` names itself.
fn set_time(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
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
    set_time(&root.join("absolute"), 1_234_567_890);
    set_time(&root.join("src/block"), -86_400);
    set_time(&root.join("src"), 1_000_000_000);
    set_time(root, 1_500_000_000);
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
    // What an upload and a hydrate have not finished.
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
        let (status, code, _) = refusal(sandboxd.get(&format!("/persist?{query}")).await).await;
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

/// `sandboxd` as a user that may not read everything: as root it may.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_an_error_that_names_it() {
    let parent = Sandboxd::places();
    let secret = parent.path().join("workspace/secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
    let sandboxd = Sandboxd::start_in(parent, |workspace| {
        if !is_root() {
            return Command::new(program());
        }
        for path in [workspace.parent().unwrap(), workspace, &secret] {
            std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program());
        command
    });
    let (status, code, text) = refusal(sandboxd.get("/persist").await).await;
    assert_eq!((status, code), (502, ErrorCode::WorkspaceArchiveReadError));
    assert!(text.contains("./secret: "), "{text}");

    // Left out, it is in nobody's way. After much else, the body breaks off.
    assert!(sandboxd.persist("excludes=secret").await.len() > 1024);
    File::create(sandboxd.inside("0"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    fs::create_dir(sandboxd.inside("z")).unwrap();
    fs::rename(sandboxd.inside("secret"), sandboxd.inside("z/secret")).unwrap();
    let response = sandboxd.get("/persist").await;
    if response.status() == 200 {
        response.bytes().await.unwrap_err();
    }
}
