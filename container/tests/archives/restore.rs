//! Restores.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sandbox_protocol::ErrorCode;
use sandbox_protocol::snapshot::SaveRequest;

use super::save::noise;
use super::saved::request;
use super::support::{Sandboxd, error_of, no_text};

/// Everything that a restore brings back, by path.
fn tree(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut seen = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(path) = left.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        paths.push(path);
    }
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() {
            String::new()
        } else if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            let first = first_names.entry(metadata.ino()).or_insert_with(|| path.clone());
            let content = fs::read(&path).unwrap();
            let mut hash = DefaultHasher::new();
            hash.write(&content);
            let hash = hash.finish();
            let first = first.strip_prefix(root).unwrap();
            format!("{} bytes {hash:x}, first {first:?}", content.len())
        };
        let (mode, seconds, nanoseconds) = (metadata.mode(), metadata.mtime(), metadata.mtime_nsec());
        let text = format!("{mode:o} {seconds}.{nanoseconds} {content}");
        let name = path.strip_prefix(root).unwrap().as_os_str();
        seen.insert(name.as_encoded_bytes().to_vec(), text);
    }
    seen
}

fn set_time(path: &Path, seconds: u64, nanoseconds: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    File::open(path).unwrap().set_modified(time).unwrap();
}

/// A workspace with everything that files can be.
fn everything(sandboxd: &Sandboxd) {
    let inside = |name: &str| sandboxd.inside(name);
    for n in 0..200 {
        let directory = inside(&format!("many/d{n}"));
        fs::create_dir_all(&directory).unwrap();
        for m in 0..100 {
            let file = directory.join(format!("f{m}"));
            fs::write(&file, format!("{n} {m}").repeat(m)).unwrap();
            set_time(&file, 1_000_000_000 + n, m as u32 * 9_999_999);
        }
    }
    fs::create_dir(inside("empty directory")).unwrap();
    fs::create_dir(sandboxd.inside("").join(no_text())).unwrap();
    fs::write(sandboxd.inside("").join(no_text()).join("\n"), "odd").unwrap();
    fs::write(inside(&"n".repeat(255)), "long").unwrap();
    fs::write(inside("ünïcödé 🦀"), "text").unwrap();
    fs::write(inside("large"), noise(5_000_000, 3)).unwrap();
    for (name, mode) in [
        ("set-uid", 0o4755),
        ("set-gid", 0o2711),
        ("sticky", 0o1644),
        ("none", 0o000),
        ("all", 0o7777),
    ] {
        fs::write(inside(name), name).unwrap();
        fs::set_permissions(inside(name), Permissions::from_mode(mode)).unwrap();
        let directory = inside(&format!("{name} directory"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), "").unwrap();
        set_time(&directory, 5, 7);
        // Without privileges, only such directories can be read back.
        let mode = mode | if mode & 0o700 == 0 { 0o500 } else { 0o100 };
        fs::set_permissions(&directory, Permissions::from_mode(mode | 0o400)).unwrap();
    }
    for (name, target) in [
        ("link", "large"),
        ("broken link", "no/such/file"),
        ("absolute link", "/workspace/large"),
        ("link up", "../../outside"),
    ] {
        symlink(target, inside(name)).unwrap();
    }
    fs::hard_link(inside("large"), inside("many/d7/hard")).unwrap();
    fs::hard_link(inside("large"), inside("a name of large")).unwrap();
    let sparse = File::create(inside("sparse")).unwrap();
    sparse.write_all_at(b"begin", 0).unwrap();
    sparse.write_all_at(b"middle", 8 << 20).unwrap();
    sparse.set_len(20 << 20).unwrap();
    fs::set_permissions(inside(""), Permissions::from_mode(0o775)).unwrap();
    set_time(&inside("many"), 1_234_567_890, 987_654_321);
    set_time(&inside(""), 1_700_000_000, 1);
}

#[tokio::test]
async fn a_directory_comes_back_exactly() {
    let sandboxd = Sandboxd::start();
    everything(&sandboxd);
    let before = tree(&sandboxd.inside(""));
    let saved = sandboxd.save(&request()).await;
    assert_eq!(saved.contents.files, before.len() as u64 - 1);

    for name in ["many/d3", "empty directory"] {
        fs::remove_dir_all(sandboxd.inside(name)).unwrap();
    }
    fs::write(sandboxd.inside("large"), "changed").unwrap();
    fs::create_dir_all(sandboxd.inside("new/directory")).unwrap();
    fs::write(sandboxd.inside("new/directory/file"), "new").unwrap();
    fs::set_permissions(sandboxd.inside(""), Permissions::from_mode(0o700)).unwrap();
    let version = sandboxd.restore("/workspace", &saved).await;
    let after = tree(&sandboxd.inside(""));
    for (name, text) in &before {
        assert_eq!(after.get(name), Some(text), "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(after, before);
    let sparse = fs::metadata(sandboxd.inside("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 2 << 20, "{} blocks", sparse.blocks());
    let unless = SaveRequest {
        unless: Some(version),
        ..request()
    };
    assert_eq!(sandboxd.begin(&unless).await, None);

    // Elsewhere, in a directory that does not exist.
    sandboxd.restore("/workspace/a/b", &saved).await;
    let inner = tree(&sandboxd.inside("a/b"));
    assert_eq!(inner, before);
}

#[tokio::test]
async fn an_archive_that_is_not_the_one_that_was_saved_changes_nothing() {
    let sandboxd = Sandboxd::start();
    fs::create_dir(sandboxd.inside("d")).unwrap();
    fs::write(sandboxd.inside("d/text"), "old ".repeat(1000)).unwrap();
    fs::write(sandboxd.inside("noise"), noise(300_000, 5)).unwrap();
    for n in 0..50 {
        fs::write(sandboxd.inside(&format!("d/{n}")), format!("{n}")).unwrap();
    }
    let saved = sandboxd.save(&request()).await;
    fs::write(sandboxd.inside("d/new"), "new").unwrap();
    let before = tree(&sandboxd.inside(""));
    let data = saved.contents.index_offset as usize;
    let mut flips: Vec<_> = (0..60).map(|n| n * data / 60).collect();
    flips.extend(0..40);
    flips.extend(data - 20..data);
    for at in flips {
        let mut archive = saved.archive.clone();
        // One bit of each frame's head means nothing.
        archive[at] ^= 0x55;
        let refused = sandboxd
            .send_restore("/workspace", archive, &saved.contents)
            .await;
        let (status, code, text) = error_of(refused).await;
        assert_eq!(
            (status, code),
            (409, ErrorCode::RestoreIncomplete),
            "{at}: {text}"
        );
        assert_eq!(tree(&sandboxd.inside("")), before, "{at}");
    }
    let length = saved.archive.len();
    for end in [
        0,
        1,
        100,
        data / 2,
        data - 1,
        data,
        data + 8,
        length - 100,
        length - 1,
    ] {
        let archive = saved.archive[..end].to_vec();
        let refused = sandboxd
            .send_restore("/workspace", archive, &saved.contents)
            .await;
        let (status, code, text) = error_of(refused).await;
        assert_eq!(
            (status, code),
            (409, ErrorCode::RestoreIncomplete),
            "{end}: {text}"
        );
    }
    let mut other = saved.contents.clone();
    other.files += 1;
    let mut more = saved.archive.clone();
    more.extend_from_slice(&saved.archive);
    let mut hash = saved.contents.clone();
    hash.sha256 = "0".repeat(64);
    for (archive, contents) in [
        (saved.archive.clone(), &other),
        (more, &saved.contents),
        (saved.archive.clone(), &hash),
        (b"not an archive".to_vec(), &saved.contents),
    ] {
        let refused = sandboxd.send_restore("/workspace", archive, contents).await;
        let (status, code, text) = error_of(refused).await;
        assert_eq!((status, code), (409, ErrorCode::RestoreIncomplete), "{text}");
    }
    assert_eq!(tree(&sandboxd.inside("")), before);
    sandboxd.wait_until_clean();
    sandboxd.restore("/workspace", &saved).await;
    assert!(!sandboxd.inside("d/new").exists());
}

#[tokio::test]
async fn a_flip_behind_the_tar_never_changes_what_is_restored() {
    let sandboxd = Sandboxd::start();
    fs::create_dir(sandboxd.inside("d")).unwrap();
    fs::write(sandboxd.inside("d/text"), "old").unwrap();
    let expected = tree(&sandboxd.inside(""));
    let saved = sandboxd.save(&request()).await;
    for at in saved.contents.index_offset as usize..saved.archive.len() {
        let mut archive = saved.archive.clone();
        archive[at] ^= 1 << (at % 8);
        let response = sandboxd
            .send_restore("/workspace", archive, &saved.contents)
            .await;
        assert!(matches!(response.status().as_u16(), 200 | 409), "{at}");
        assert_eq!(tree(&sandboxd.inside("")), expected, "{at}");
    }
}
