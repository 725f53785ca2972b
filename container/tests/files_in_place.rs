//! `PUT` with `in_place=true`: the existing file is written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod served;

use std::fs::{self, File};
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Body;
use rustix::fs::{Gid, Uid};
use rustix::process::geteuid;
use sandbox_protocol::{ErrorCode, sandboxd::MAX_UPLOAD_HEADER};
use served::{Served, chunked, error_of, fifo, mode, status};

#[tokio::test(flavor = "multi_thread")]
async fn in_place_the_existing_file_is_written() {
    let served = Served::start().await;
    let put = async |name: &str, query: &str, body: Body| {
        let url = format!("{}?{query}", served.url(name));
        served.client.put(url).body(body).send().await.unwrap()
    };
    let file = served.inside("f");
    fs::write(&file, "old, and longer").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6750)).unwrap();
    fs::hard_link(&file, served.inside("linked")).unwrap();
    let mut open = File::open(&file).unwrap();
    let inode = open.metadata().unwrap().ino();

    assert_eq!(put("f", "in_place=true", "new".into()).await.status(), 200);
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
    assert_eq!(mode(&file), 0o750);
    assert_eq!(served.bytes("linked").await, b"new");
    let mut seen = String::new();
    open.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "new");
    assert_eq!(put("f", "in_place=true", "".into()).await.status(), 200);
    assert_eq!(served.bytes("linked").await, b"");
    assert_eq!(
        put("f", "in_place=true", chunked(50, 100_000)).await.status(),
        200
    );
    assert_eq!(served.bytes("linked").await.len(), 5_000_000);

    // A missing file is created, and without the parameter the file is replaced.
    assert_eq!(put("new/g", "in_place=true", "g".into()).await.status(), 200);
    assert_eq!(served.bytes("new/g").await, b"g");
    assert_eq!(put("f", "in_place=false", "replaced".into()).await.status(), 200);
    assert_ne!(fs::metadata(&file).unwrap().ino(), inode);
    assert_eq!(served.names(""), ["f", "linked", "new"]);
    let refused = error_of(put("f", "in_place=yes", "x".into()).await).await;
    assert_eq!((refused.0.as_u16(), refused.1), (400, ErrorCode::InvalidRequest));
    assert_eq!(served.bytes("f").await, b"replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_a_broken_upload_leaves_what_had_come_and_no_pipe_or_link_out_is_written() {
    let served = Served::start().await;
    fs::write(served.inside("f"), "old").unwrap();
    let chunked = |chunks: &str| {
        let head =
            "PUT /file/workspace/f?in_place=true HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{chunks}").into_bytes()
    };
    // Nothing has come.
    assert_eq!(status(&mut served.send(&chunked("zz\r\n"))), 400);
    assert_eq!(served.bytes("f").await, b"old");
    let (refused, ..) = error_of(
        served
            .client
            .put(format!("{}?in_place=true", served.url("f")))
            .header(MAX_UPLOAD_HEADER, "2")
            .body("longer")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(refused, 413);
    assert_eq!(served.bytes("f").await, b"old");
    // Some of it has.
    let mut part =
        b"PUT /file/workspace/f?in_place=true HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
            .to_vec();
    part.resize(4_000_000, b'x');
    let mut stream = served.send(&part);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&mut stream), 400);
    let left = served.bytes("f").await;
    assert!((1..4_000_000).contains(&left.len()), "{}", left.len());
    assert!(left.iter().all(|byte| *byte == b'x'));
    assert_eq!(served.names(""), ["f"]);

    fifo(&served.inside("fifo"));
    fs::write(served.outside("secret"), "kept").unwrap();
    std::os::unix::fs::symlink(served.outside("secret"), served.inside("out")).unwrap();
    // By another process: a fork of this one would hold the copy open for writing, and then it
    // cannot be run.
    let copied = Command::new("cp")
        .arg("/bin/sleep")
        .arg(served.inside("program"))
        .status();
    assert!(copied.unwrap().success());
    let mut program = Command::new(served.inside("program")).arg("60").spawn().unwrap();
    let mut statuses = Vec::new();
    for name in ["fifo", "out", "program"] {
        let url = format!("{}?in_place=true", served.url(name));
        let put = served.client.put(url).body("x").send().await;
        statuses.push(put.unwrap().status().as_u16());
    }
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(statuses, [400, 403, 400]);
    assert_eq!(fs::read_to_string(served.outside("secret")).unwrap(), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_a_file_that_commands_may_not_write_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let owner = (Uid::from_raw(4321), Gid::from_raw(4322));
    let served = Served::start_owned_by(Some(owner)).await;
    let outside = served.outside("outside");
    fs::write(&outside, "kept").unwrap();
    fs::hard_link(&outside, served.inside("link")).unwrap();
    let put = async |name: &str| {
        let url = format!("{}?in_place=true", served.url(name));
        served.client.put(url).body("x").send().await.unwrap().status()
    };
    assert_eq!(put("link").await, 403);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
    chown(&outside, Some(4321), Some(4322)).unwrap();
    assert_eq!(put("link").await, 200);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "x");

    // Files with one link.
    for (uid, gid, mode, status) in [
        (4321, 0, 0o400, 200),
        (0, 0, 0o664, 403),
        (0, 0, 0o666, 200),
        (0, 4322, 0o664, 200),
        (0, 4322, 0o646, 403),
    ] {
        let file = served.inside("f");
        fs::write(&file, "old").unwrap();
        chown(&file, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(put("f").await, status, "{uid} {gid} {mode:o}");
        let content = if status == 200 { "x" } else { "old" };
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
        assert_eq!(served.put("f", "replaced").await.status(), 200);
    }
}

/// A command removes its link to a file of another user after the path was resolved: the file has
/// one link then.
#[tokio::test(flavor = "multi_thread")]
async fn in_place_a_hard_link_that_comes_and_goes_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let served = Served::start_owned_by(Some((Uid::from_raw(4321), Gid::from_raw(4321)))).await;
    let (outside, link) = (served.outside("outside"), served.inside("link"));
    fs::write(&outside, "kept").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let linking = std::thread::spawn({
        let (outside, link, stop) = (outside.clone(), link.clone(), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                // The server may have made a file of this name.
                let _ = fs::remove_file(&link);
                let _ = fs::hard_link(&outside, &link);
            }
        }
    });
    let url = format!("{}?in_place=true", served.url("link"));
    for _ in 0..1000 {
        let _ = served.client.put(&url).body("x").send().await.unwrap().status();
    }
    stop.store(true, Ordering::Relaxed);
    linking.join().unwrap();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
}
