//! Archives of a workspace that changes while it is read.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::{Sandboxd, gnu_tar};

/// Calls `change` again and again while `body` runs.
async fn while_changing(mut change: impl FnMut() + Send, body: impl Future<Output = ()>) {
    let done = AtomicBool::new(false);
    let done = &done;
    // Scoped threads cannot cross an await; the body runs on this thread's runtime meanwhile.
    thread::scope(|scope| {
        let changing = scope.spawn(move || {
            while !done.load(Relaxed) {
                change();
            }
        });
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(body));
        done.store(true, Relaxed);
        changing.join().unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_grow_shrink_and_vanish_give_proper_archives() {
    let sandboxd = Sandboxd::start();
    let root = sandboxd.inside("");
    for i in 0..200 {
        fs::write(sandboxd.inside(&format!("stays-{i}")), "stays").unwrap();
    }
    let mut round = 0_u64;
    let change = || {
        round += 1;
        let mut log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(root.join("log"))
            .unwrap();
        log.write_all(&[b'l'; 5000]).unwrap();
        File::create(root.join("resized"))
            .unwrap()
            .set_len((round * 7_777_777) % 9_000_000)
            .unwrap();
        fs::create_dir_all(root.join("tmp/a/b")).unwrap();
        fs::write(root.join("tmp/a/b/c"), "gone soon").unwrap();
        fs::remove_dir_all(root.join("tmp")).unwrap();
        let _ = fs::remove_file(root.join("kind"));
        match round % 3 {
            0 => fs::write(root.join("kind"), "file").unwrap(),
            1 => symlink("stays-1", root.join("kind")).unwrap(),
            _ => {
                fs::create_dir(root.join("kind")).unwrap();
                fs::remove_dir(root.join("kind")).unwrap();
            }
        }
    };
    while_changing(change, async {
        for _ in 0..60 {
            let archive = sandboxd.persist("").await;
            assert_eq!(archive.len() % 512, 0);
            assert!(archive.ends_with(&[0; 1024]));
            let listed = gnu_tar(Path::new("/"), &["-tf", "-"], &archive);
            let stays = String::from_utf8(listed).unwrap();
            assert_eq!(
                stays.lines().filter(|name| name.starts_with("./stays-")).count(),
                200
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_replaces_a_directory_leads_nowhere() {
    let sandboxd = Sandboxd::start();
    fs::create_dir_all(sandboxd.inside("a/b")).unwrap();
    fs::write(sandboxd.inside("a/b/f"), "inside").unwrap();
    fs::write(sandboxd.inside("a/secret"), "inside").unwrap();
    fs::create_dir(sandboxd.inside("links")).unwrap();
    let outside = sandboxd.parent.path().join("outside");
    symlink(&outside, sandboxd.inside("links/a")).unwrap();
    symlink(outside.join("secret"), sandboxd.inside("links/f")).unwrap();
    let swap = |one: &str, other: &str| {
        let (one, other) = (sandboxd.inside(one), sandboxd.inside(other));
        // Another round may have moved it away.
        let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
    };
    let change = || {
        swap("a", "links/a");
        swap("a", "links/a");
        swap("a/b/f", "links/f");
        swap("a/b/f", "links/f");
    };
    while_changing(change, async {
        for _ in 0..300 {
            let archive = sandboxd.persist("").await;
            let mut archive = tar::Archive::new(archive.as_slice());
            for entry in archive.entries().unwrap() {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut entry.unwrap(), &mut text).unwrap();
                assert_ne!(text, "secret");
            }
        }
    })
    .await;
}
