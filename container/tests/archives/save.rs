//! Saves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, symlink};

use sandbox_protocol::ErrorCode;
use sandbox_protocol::snapshot::{
    CONTENTS_MAGIC, FRAME_BYTES, IndexKind, PART_BYTES, SaveRequest, part_url, save_url,
};

use super::saved::request;
use super::support::{Sandboxd, error_of};

/// Bytes that do not compress, the same ones for the same seed.
pub fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_ne_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[tokio::test]
async fn an_archive_is_a_tar_that_the_index_points_into() {
    let sandboxd = Sandboxd::start();
    fs::create_dir_all(sandboxd.inside("a/b")).unwrap();
    fs::write(sandboxd.inside("a/b/small"), "small").unwrap();
    fs::write(sandboxd.inside("a/empty"), "").unwrap();
    fs::write(sandboxd.inside("large"), noise(3 * FRAME_BYTES + 7, 1)).unwrap();
    for n in 0..300 {
        fs::write(
            sandboxd.inside(&format!("a/f{n}")),
            noise(10_000 + n, n as u64 + 1),
        )
        .unwrap();
    }
    symlink("a/b/small", sandboxd.inside("link")).unwrap();
    fs::hard_link(sandboxd.inside("large"), sandboxd.inside("name of large")).unwrap();
    let sparse = File::create(sandboxd.inside("sparse")).unwrap();
    sparse.write_all_at(b"end", 5 << 20).unwrap();

    let saved = sandboxd.save(&request()).await;
    assert!(saved.archive.windows(4).any(|bytes| bytes == CONTENTS_MAGIC));
    let tar = saved.tar();
    let mut names = BTreeSet::new();
    let mut bytes = 0;
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        bytes += entry.size();
        names.insert(entry.path().unwrap().into_owned());
    }
    assert_eq!(names.len() as u64, saved.contents.files + 1);
    assert_eq!(bytes, saved.contents.bytes);
    assert_eq!((saved.contents.changed, saved.contents.hook.clone()), (0, None));

    let index = saved.index();
    assert_eq!(index.len() as u64, saved.contents.files + 1);
    let mut frames = BTreeSet::new();
    for entry in &index {
        let path = sandboxd.inside(&entry.0);
        let metadata = fs::symlink_metadata(&path).unwrap();
        frames.insert(entry.5);
        match entry.1 {
            IndexKind::File => {
                assert!(metadata.is_file());
                assert_eq!(entry.3, metadata.len());
                assert!(saved.content(entry) == fs::read(&path).unwrap(), "{}", entry.0);
            }
            IndexKind::Directory => assert!(metadata.is_dir()),
            IndexKind::Symlink => assert_eq!(entry.7.as_deref(), Some("a/b/small")),
        }
    }
    assert!(frames.len() >= 5, "{frames:?}");
}

#[tokio::test]
async fn parts_are_sent_again_and_at_the_same_time_while_the_thread_waits() {
    let sandboxd = Sandboxd::start();
    let data = noise(6 * PART_BYTES as usize + 1000, 7);
    File::create(sandboxd.inside("data"))
        .unwrap()
        .write_all(&data)
        .unwrap();
    let save = sandboxd.begin(&request()).await.unwrap();
    let first = sandboxd.part(&save, 1).await;
    assert!(!first.1 && first == sandboxd.part(&save, 1).await);
    let (one, two, three) = tokio::join!(
        sandboxd.part(&save, 1),
        sandboxd.part(&save, 2),
        sandboxd.part(&save, 3)
    );
    assert!(one == first && two == sandboxd.part(&save, 2).await);
    let four = sandboxd.part(&save, 4).await;
    assert!(two == sandboxd.part(&save, 2).await && three == sandboxd.part(&save, 3).await);
    let (status, code, text) = error_of(sandboxd.get(&part_url(&save, 1)).await).await;
    assert_eq!((status, code), (502, ErrorCode::SnapshotError), "{text}");
    for wrong in [0, 100] {
        let (status, code, _) = error_of(sandboxd.get(&part_url(&save, wrong)).await).await;
        assert_eq!((status, code), (400, ErrorCode::InvalidRequest), "{wrong}");
    }
    let mut archive = [one.0, two.0, three.0, four.0].concat();
    for number in 5.. {
        let (bytes, is_last) = sandboxd.part(&save, number).await;
        archive.extend(bytes);
        if is_last {
            assert_eq!(number, 7);
            break;
        }
    }
    let (status, code, _) = error_of(sandboxd.get(&part_url(&save, 8)).await).await;
    assert_eq!((status, code), (400, ErrorCode::InvalidRequest));
    let tar = zstd::decode_all(archive.as_slice()).unwrap();
    assert!(tar.windows(1000).any(|window| window == &data[..1000]));
    assert_eq!(sandboxd.delete(&save_url(&save, "")).await, 204);
    assert_eq!(sandboxd.delete(&save_url(&save, "")).await, 204);
    let (status, code, _) = error_of(sandboxd.get(&part_url(&save, 7)).await).await;
    assert_eq!((status, code), (502, ErrorCode::SnapshotError));
}

#[tokio::test]
async fn nothing_is_saved_unless_something_has_changed() {
    let sandboxd = Sandboxd::start();
    fs::create_dir(sandboxd.inside("d")).unwrap();
    fs::write(sandboxd.inside("d/f"), "1").unwrap();
    let saved = sandboxd.save(&request()).await;
    let mut version = saved.contents.version;
    let unless = |version: &str| SaveRequest {
        unless: Some(version.into()),
        ..request()
    };
    assert_eq!(sandboxd.begin(&unless(&version)).await, None);
    assert_eq!(sandboxd.begin(&unless(&version)).await, None);
    type Change = fn(&Sandboxd);
    let changes: [Change; 5] = [
        |sandboxd| fs::write(sandboxd.inside("d/f"), "2").unwrap(),
        |sandboxd| fs::write(sandboxd.inside("new"), "").unwrap(),
        |sandboxd| fs::rename(sandboxd.inside("new"), sandboxd.inside("other")).unwrap(),
        |sandboxd| fs::remove_file(sandboxd.inside("other")).unwrap(),
        |sandboxd| {
            let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o400);
            fs::set_permissions(sandboxd.inside("d/f"), read_only).unwrap();
        },
    ];
    for change in changes {
        change(&sandboxd);
        let save = sandboxd.begin(&unless(&version)).await.unwrap();
        let next = sandboxd.fetch(&save).await.contents.version;
        assert_ne!(next, version);
        version = next;
    }
    fs::write(sandboxd.inside("excluded"), "").unwrap();
    let excluding = SaveRequest {
        excludes: vec!["excluded".into()],
        ..unless(&version)
    };
    assert_eq!(sandboxd.begin(&excluding).await, None);
    assert!(sandboxd.begin(&unless(&version)).await.is_some());
}

#[tokio::test]
async fn only_the_directory_without_the_excluded_names_is_saved() {
    let sandboxd = Sandboxd::start();
    fs::create_dir_all(sandboxd.inside("d/node_modules/x")).unwrap();
    fs::create_dir_all(sandboxd.inside("d/e")).unwrap();
    fs::write(sandboxd.inside("d/node_modules/x/y"), "").unwrap();
    fs::write(sandboxd.inside("d/e/kept"), "").unwrap();
    fs::write(sandboxd.inside("d/e/node_modules"), "a file").unwrap();
    fs::write(sandboxd.inside("beside"), "").unwrap();
    let saved = sandboxd
        .save(&SaveRequest {
            dir: "/workspace/d".into(),
            excludes: vec!["*node_modules/".into()],
            unless: None,
        })
        .await;
    let paths: Vec<_> = saved.index().into_iter().map(|entry| entry.0).collect();
    assert_eq!(paths, ["", "e", "e/kept", "e/node_modules"]);
}
