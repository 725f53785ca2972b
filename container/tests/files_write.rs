//! `PUT` of workspace files, as a client sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod served;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use reqwest::{Body, header};
use rustix::fs::{Gid, Uid};
use rustix::process::{geteuid, umask};
use sandbox_protocol::{
    ErrorCode,
    sandboxd::{END_MARK_HEADER, MAX_UPLOAD_HEADER},
};
use sandboxd::files::Workspace;
use served::{Served, chunked, error_of, fifo, mode, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_becomes_the_file_with_its_parents() {
    let served = Served::start().await;
    // Whatever the server's umask is.
    umask(0o077.into());
    let bytes: Vec<u8> = (0..=255).cycle().take(5_000_003).collect();
    let put = served.put("new/dir/f.bin", bytes.clone()).await;
    assert_eq!(put.status(), 200);
    assert_eq!(put.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(put.text().await.unwrap(), r#"{"ok":true}"#);
    assert_eq!(fs::read(served.inside("new/dir/f.bin")).unwrap(), bytes);
    assert_eq!(served.names("new/dir"), ["f.bin"]);
    assert_eq!(mode(&served.inside("new")), 0o755);
    assert_eq!(mode(&served.inside("new/dir")), 0o755);
    assert_eq!(mode(&served.inside("new/dir/f.bin")), 0o644);

    assert_eq!(served.put("new/dir/f.bin", "").await.status(), 200);
    assert_eq!(served.bytes("new/dir/f.bin").await, b"");
    assert_eq!(served.put("tiny-blocks", chunked(5000, 1)).await.status(), 200);
    assert_eq!(served.bytes("tiny-blocks").await, [b'x'; 5000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_keeps_its_mode_and_owner() {
    let served = Served::start().await;
    for (before, after) in [(0o640, 0o640), (0o755, 0o755), (0o444, 0o444), (0o6755, 0o755)] {
        let file = served.inside("f");
        fs::write(&file, "old").unwrap();
        if geteuid().is_root() {
            chown(&file, Some(12345), Some(54321)).unwrap();
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(before)).unwrap();
        let mut open = File::open(&file).unwrap();
        let owner = (open.metadata().unwrap().uid(), open.metadata().unwrap().gid());

        assert_eq!(served.put("f", "new").await.status(), 200);
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(mode(&file), after);
        let replaced = fs::metadata(&file).unwrap();
        assert_eq!((replaced.uid(), replaced.gid()), owner);
        // A process that has the old file open keeps reading the old file.
        let mut old = String::new();
        open.read_to_string(&mut old).unwrap();
        assert_eq!(old, "old");
        fs::remove_file(&file).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_belongs_to_the_workspaces_owner() {
    let owner = (Uid::from_raw(12345), Gid::from_raw(54321));
    let served = Served::start_owned_by(Some(owner)).await;
    assert_eq!(served.put("a/b/f", "").await.status(), 200);
    let expected = if geteuid().is_root() {
        (12345, 54321)
    } else {
        // Only root can give files away; without that right they are written all the same.
        let workspace = fs::metadata(served.inside("")).unwrap();
        (workspace.uid(), workspace.gid())
    };
    for name in ["a", "a/b", "a/b/f"] {
        let made = fs::metadata(served.inside(name)).unwrap();
        assert_eq!((made.uid(), made.gid()), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_regular_file_is_left_alone() {
    let served = Served::start().await;
    fs::create_dir(served.inside("directory")).unwrap();
    fs::write(served.inside("file"), "kept").unwrap();
    fifo(&served.inside("fifo"));
    let _listener = UnixListener::bind(served.inside("socket")).unwrap();
    let before = served.names("");

    for (name, error) in [
        ("", ErrorCode::IsDirectory),
        ("directory", ErrorCode::IsDirectory),
        ("fifo", ErrorCode::InvalidRequest),
        ("socket", ErrorCode::InvalidRequest),
        ("file/below", ErrorCode::InvalidRequest),
        (&"n".repeat(256), ErrorCode::InvalidRequest),
        (&"n/".repeat(300), ErrorCode::InvalidRequest),
        (&"name/".repeat(1000), ErrorCode::InvalidRequest),
    ] {
        let (status, code, _) = error_of(served.put(name, "x").await).await;
        assert_eq!((status.as_u16(), code), (400, error), "{name:?}");
    }
    let part = served
        .client
        .put(served.url("file"))
        .header(header::CONTENT_RANGE, "bytes 0-0/4");
    let (status, ..) = error_of(part.body("x").send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert_eq!(served.bytes("file").await, b"kept");
    assert_eq!(served.names(""), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_leaves_the_old_file_and_nothing_else() {
    let served = Served::start().await;
    fs::write(served.inside("f"), "old").unwrap();
    let mut head = b"PUT /file/workspace/f HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n".to_vec();
    head.resize(4_000_000, b'x');
    let one = |names: &[String]| names.len() == 1;

    // Half closed: it ends early, and the client gets the error.
    let mut stream = served.send(&head);
    served.wait_for_names(|names| names.len() == 2);
    assert_eq!(served.bytes("f").await, b"old");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&mut stream), 400);
    assert_eq!(served.names(""), ["f"]);

    // Gone.
    let stream = served.send(&head);
    served.wait_for_names(|names| names.len() == 2);
    drop(stream);
    served.wait_for_names(one);

    // Broken chunks.
    let chunks =
        b"PUT /file/workspace/f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n";
    assert_eq!(status(&mut served.send(chunks)), 400);
    assert_eq!(served.names(""), ["f"]);
    assert_eq!(served.bytes("f").await, b"old");
}

#[test]
fn an_upload_that_the_server_drops_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let served = runtime.block_on(Served::start());
    let head = b"PUT /file/workspace/f HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nbeginning";
    let _stream = served.send(head);
    served.wait_for_names(|names| names.len() == 1);
    drop(runtime);
    served.wait_for_names(<[_]>::is_empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413() {
    let served = Served::start().await;
    let limited = |body: Body| {
        let put = served.client.put(served.url("dir/f"));
        put.header(MAX_UPLOAD_HEADER, "100000").body(body).send()
    };
    assert_eq!(limited(vec![0; 100_000].into()).await.unwrap().status(), 200);
    assert_eq!(limited(chunked(100, 1000)).await.unwrap().status(), 200);

    for body in [vec![0; 100_001].into(), chunked(101, 1000), chunked(40_000, 1000)] {
        let (status, code, _) = error_of(limited(body).await.unwrap()).await;
        assert_eq!((status.as_u16(), code), (413, ErrorCode::PayloadTooLarge));
        assert_eq!(served.names("dir"), ["f"]);
    }
    assert_eq!(served.bytes("dir/f").await, [b'x'; 100_000]);

    let put = served
        .client
        .put(served.url("f"))
        .header(MAX_UPLOAD_HEADER, "many");
    assert_eq!(put.send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_reaches_a_client_before_and_after_its_body() {
    let served = Served::start().await;
    let head = format!(
        "PUT /file/workspace/new/f HTTP/1.1\r\nHost: x\r\n{MAX_UPLOAD_HEADER}: 10\r\nContent-Length: 16000000\r\n\r\n"
    );
    // It is refused without its body, and no file is made for it.
    assert_eq!(status(&mut served.send(head.as_bytes())), 413);
    assert_eq!(served.names(""), [""; 0]);
    // Many clients send the whole body before they read. They must not meet a reset instead of the
    // answer.
    let mut stream = served.send(head.as_bytes());
    stream.write_all(&vec![b'x'; 16_000_000]).unwrap();
    assert_eq!(status(&mut stream), 413);
    // A client that asks first is refused without `100 Continue`.
    let asks = head.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(status(&mut served.send(asks.as_bytes())), 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_promises_an_end_mark_is_whole_only_with_it() {
    let served = Served::start().await;
    let put = |body: &'static str| {
        let request = reqwest::Client::new().put(served.url("f"));
        request.header(END_MARK_HEADER, "the-end").body(body).send()
    };
    for (body, file) in [
        ("newthe-end", "new"),
        ("the-end", ""),
        ("the-endthe-end", "the-end"),
    ] {
        assert_eq!(put(body).await.unwrap().status(), 200, "{body}");
        assert_eq!(served.bytes("f").await, file.as_bytes());
    }
    for broken in ["", "ne", "new", "newthe-en", "the-end "] {
        let (status, code, text) = error_of(put(broken).await.unwrap()).await;
        assert_eq!(
            (status.as_u16(), code),
            (400, ErrorCode::InvalidRequest),
            "{broken}: {text}"
        );
    }
    assert_eq!(served.bytes("f").await, b"the-end");
    assert_eq!(served.names(""), ["f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_uploads_one_wins_whole() {
    const SIZE: usize = 3_000_000;
    let served = Served::start().await;
    assert_eq!(served.put("f", vec![0; SIZE]).await.status(), 200);
    let uploads = (1..=8).map(|byte| served.put("f", vec![byte; SIZE]));
    let whole = |bytes: &[u8]| bytes.len() == SIZE && bytes.iter().all(|byte| *byte == bytes[0]);
    let reads = async {
        for _ in 0..20 {
            assert!(whole(&served.bytes("f").await));
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(uploads), reads);
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let last = served.bytes("f").await;
    assert!(whole(&last) && last[0] != 0);
    assert_eq!(served.names(""), ["f"]);
}

const FULL_DISK: &str = "SANDBOXD_TEST_FULL_DISK";

/// Runs itself again in a mount namespace with a small file system, which goes away with the
/// process.
#[test]
fn a_full_disk_is_507_and_leaves_nothing() {
    if let Some(disk) = std::env::var_os(FULL_DISK) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(fill(Path::new(&disk)));
    }
    let disk = tempfile::tempdir().unwrap();
    let again = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=2m none \"$0\" && exec \"$@\"")
        .args([disk.path(), &std::env::current_exe().unwrap()])
        .args(["--exact", "a_full_disk_is_507_and_leaves_nothing", "--nocapture"])
        .env(FULL_DISK, disk.path())
        .status()
        .unwrap();
    assert!(again.success());
}

async fn fill(disk: &Path) {
    let address = served::serve(Workspace::open(disk, None).unwrap()).await;
    let put = |body: Body| {
        let put = reqwest::Client::new().put(format!("http://{address}/file/workspace/f"));
        put.body(body).send()
    };
    assert_eq!(put(vec![1; 1000].into()).await.unwrap().status(), 200);
    for body in [vec![2; 8_000_000].into(), chunked(8000, 1000)] {
        let (status, code, _) = error_of(put(body).await.unwrap()).await;
        assert_eq!((status.as_u16(), code), (507, ErrorCode::NoSpace));
        assert_eq!(served::names(disk), ["f"]);
    }
    assert_eq!(fs::read(disk.join("f")).unwrap(), [1; 1000]);
    assert_eq!(put(vec![3; 1_000_000].into()).await.unwrap().status(), 200);
}
