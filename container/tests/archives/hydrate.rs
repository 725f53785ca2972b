//! Archives of other tools over an empty workspace.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use futures_util::stream;
use tar::EntryType;
use tempfile::TempDir;

use crate::archive::{Archive, gzip, zstd};
use crate::support::{Sandboxd, gnu_tar, is_root, names, program, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_of_gnu_tar_in_all_packings() {
    let source = TempDir::new().unwrap();
    let root = source.path();
    fs::create_dir_all(root.join("dir/empty")).unwrap();
    let bytes: Vec<u8> = (0..=250).cycle().take(1_000_003).collect();
    fs::write(root.join("dir/large"), bytes).unwrap();
    fs::write(root.join("dir/empty file"), "").unwrap();
    fs::write(root.join("é\n"), "name").unwrap();
    symlink("dir/large", root.join("link")).unwrap();
    fs::set_permissions(root.join("dir/large"), PermissionsExt::from_mode(0o741)).unwrap();
    for format in ["v7", "ustar", "gnu", "oldgnu", "posix"] {
        if matches!(format, "gnu" | "posix") {
            let long = root.join("deep directory/".repeat(30));
            fs::create_dir_all(&long).unwrap();
            fs::write(long.join("n".repeat(200)), "long").unwrap();
            symlink("t/".repeat(200), root.join("long link")).unwrap();
        }
        let archive = gnu_tar(root, &["-cf", "-", "--format", format, "."], b"");
        let expected = snapshot(root);
        for packed in [archive.clone(), gzip(&archive), zstd(&archive)] {
            let sandboxd = Sandboxd::start();
            sandboxd.hydrate(packed).await;
            assert_eq!(snapshot(&sandboxd.inside("")), expected, "{format}");
        }
        let _ = fs::remove_dir_all(root.join("deep directory"));
        let _ = fs::remove_file(root.join("long link"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_files_of_gnu_tar_and_holes() {
    let source = TempDir::new().unwrap();
    let sparse = File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    for i in 0..40_u64 {
        sparse
            .write_all_at(format!("part {i}").as_bytes(), i * 1_300_000)
            .unwrap();
    }
    let trailing = File::create(source.path().join("only a hole")).unwrap();
    trailing.set_len(1_000_001).unwrap();
    let expected = snapshot(source.path());
    for args in [
        &["-cf", "-", "-S", "."][..],
        &["-cf", "-", "-S", "--format", "posix", "."],
        &["-cf", "-", "."],
    ] {
        let sandboxd = Sandboxd::start();
        sandboxd.hydrate(gnu_tar(source.path(), args, b"")).await;
        assert_eq!(snapshot(&sandboxd.inside("")), expected, "{args:?}");
        let blocks = fs::metadata(sandboxd.inside("sparse")).unwrap().blocks();
        assert!(blocks * 512 < 24 << 20, "{args:?}: {blocks} blocks");
    }
    // However small the pieces are that a body comes in.
    let sandboxd = Sandboxd::start();
    let archive = gnu_tar(source.path(), &["-cf", "-", "."], b"");
    let pieces: Vec<_> = archive
        .chunks(4089)
        .map(|piece| Ok::<_, io::Error>(piece.to_vec()))
        .collect();
    sandboxd
        .hydrate(reqwest::Body::wrap_stream(stream::iter(pieces)))
        .await;
    assert_eq!(snapshot(&sandboxd.inside("")), expected);
    let blocks = fs::metadata(sandboxd.inside("sparse")).unwrap().blocks();
    assert!(blocks * 512 < 24 << 20, "{blocks} blocks");
    let sandboxd = Sandboxd::start();
    let old = ["-cf", "-", "-S", "--format", "posix", "--sparse-version=0.1", "."];
    let (status, _, text) = sandboxd.error_of(gnu_tar(source.path(), &old, b"")).await;
    assert_eq!(status, 400);
    assert!(text.contains("version 1.0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_lose_what_gives_rights_of_others() {
    let sandboxd = Sandboxd::start();
    let mut archive = Archive::default();
    for (name, mode) in [
        ("setuid", 0o4755),
        ("setgid", 0o2711),
        ("sticky", 0o1644),
        ("none", 0),
    ] {
        archive = archive.member(EntryType::Regular, name, "", mode, b"x");
    }
    archive = archive.member(EntryType::Directory, "dir/", "", 0o7750, b"");
    archive = archive.member(EntryType::Directory, "closed/", "", 0o000, b"");
    archive = archive
        .file("closed/f", b"below")
        .member(EntryType::Directory, "./", "", 0o711, b"");
    sandboxd.hydrate(archive.end()).await;
    for (name, mode) in [
        ("setuid", 0o755),
        ("setgid", 0o711),
        ("sticky", 0o644),
        ("none", 0),
        ("dir", 0o1750),
        ("closed", 0),
        ("", 0o711),
    ] {
        let metadata = fs::metadata(sandboxd.inside(name)).unwrap();
        assert_eq!(metadata.mode() & 0o7777, mode, "{name}");
        assert_eq!(metadata.mtime(), 1_000_000_000, "{name}");
    }
    if is_root() {
        assert_eq!(fs::read_to_string(sandboxd.inside("closed/f")).unwrap(), "below");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_belongs_to_the_user_of_commands() {
    if !is_root() {
        return;
    }
    let sandboxd = Sandboxd::start_in(Sandboxd::directories(), |_| {
        let mut command = Command::new(program());
        command.env("SANDBOX_USER", "nobody");
        command
    });
    let archive = Archive::default()
        .directory("d/")
        .file("d/f", b"x")
        .file("implied/f", b"x");
    let archive = archive.symlink("d/l", "/etc/passwd").hard_link("d/h", "d/f");
    sandboxd.hydrate(archive.end()).await;
    for name in ["d", "d/f", "d/l", "d/h", "implied", "implied/f"] {
        let metadata = fs::symlink_metadata(sandboxd.inside(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (65534, 65534), "{name}");
    }
    assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_archives_that_are_right() {
    let sandboxd = Sandboxd::start();
    let archive = Archive::default()
        .member(EntryType::new(b'V'), "label", "", 0, b"")
        .member(
            EntryType::XGlobalHeader,
            "pax_global_header",
            "",
            0o666,
            b"16 comment=abcd\n",
        )
        .file(".//a/./b//c", b"first")
        .file("a/b/c", b"last")
        .file("a/x", b"a file")
        .directory("a/x")
        .symlink("a/y", "x")
        .file("a/y", b"no link")
        .directory("a/z")
        .symlink("a/z", "x")
        .hard_link("a/hard", "./a/b/c")
        .member(EntryType::Regular, "old/", "", 0o755, b"")
        .member(EntryType::Continuous, "continuous", "", 0o644, b"data")
        .symlink("escaping", "../../outside/secret");
    sandboxd.hydrate(archive.end()).await;
    assert_eq!(fs::read_to_string(sandboxd.inside("a/b/c")).unwrap(), "last");
    assert!(sandboxd.inside("a/x").is_dir() && sandboxd.inside("old").is_dir());
    assert!(sandboxd.inside("a/y").symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read_link(sandboxd.inside("a/z")).unwrap().to_str(), Some("x"));
    assert_eq!(fs::metadata(sandboxd.inside("a/hard")).unwrap().nlink(), 2);
    assert_eq!(
        names(&sandboxd.inside("")),
        ["a", "continuous", "escaping", "old"]
    );

    // An end without the second block of zeros, one with much behind it, none but the end.
    let archive = Archive::default().file("f", b"x").end();
    sandboxd.hydrate(archive[..archive.len() - 512].to_vec()).await;
    sandboxd
        .hydrate([archive.clone(), vec![7; 100_000]].concat())
        .await;
    sandboxd.hydrate(vec![0; 1024]).await;
    for pack in [gzip, zstd] {
        let parts = [pack(&archive[..700]), pack(&archive[700..])];
        let padding = vec![0; 10_240];
        sandboxd.hydrate(parts.concat()).await;
        // As tools for tapes pad it, and GNU tar reads it.
        sandboxd.hydrate([parts.concat(), padding.clone()].concat()).await;
        sandboxd
            .hydrate([&parts[0][..], &padding, &parts[1]].concat())
            .await;
        for garbage in [&b"x"[..], &[0, 0, 7], &pack(b"x")[..1]] {
            let (status, _, text) = sandboxd.error_of([&parts.concat(), garbage].concat()).await;
            assert_eq!(status, 400, "{text}");
            assert!(text.starts_with("the archive is "), "{text}");
        }
    }
}

/// As `zstd -d` has it; `pzstd` writes one before each frame.
#[tokio::test(flavor = "multi_thread")]
async fn skippable_frames_of_zstandard_are_skipped() {
    let sandboxd = Sandboxd::start();
    let archive = Archive::default().file("f", b"x").end();
    let frame = |number: u8, size: u32| {
        let magic = [0x50 + number, 0x2a, 0x4d, 0x18];
        [&magic[..], &size.to_le_bytes(), &vec![7; size as usize]].concat()
    };
    let (first, second) = (zstd(&archive[..700]), zstd(&archive[700..]));
    let packed = [
        &frame(0, 4)[..],
        &frame(15, 0),
        &first,
        &frame(10, 300_000),
        &second,
        &frame(1, 1),
    ];
    sandboxd.hydrate(packed.concat()).await;
    assert_eq!(fs::read(sandboxd.inside("f")).unwrap(), b"x");
    for broken in [
        &packed.concat()[..packed.concat().len() - 1],
        &[&first[..], &[0x51, 0x2a, 0x4d, 0x19]].concat(),
        &frame(0, 4),
        &frame(0, 4)[..6],
    ] {
        let (status, _, text) = sandboxd.error_of(broken.to_vec()).await;
        assert_eq!(status, 400, "{text}");
    }
}
