//! Nothing outside the workspace is read or written, whatever links exist and however they change
//! meanwhile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod served;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sandbox_protocol::ErrorCode;
use served::{Served, error_of, names};

/// A workspace with `outside/secret` beside it.
async fn with_a_secret() -> Served {
    let served = Served::start().await;
    fs::write(served.outside("secret"), "SECRET").unwrap();
    served
}

fn assert_untouched(served: &Served) {
    assert_eq!(names(&served.outside("")), ["secret"]);
    assert_eq!(fs::read_to_string(served.outside("secret")).unwrap(), "SECRET");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_lead_out_are_403() {
    let served = with_a_secret().await;
    let outside = served.outside("");
    fs::create_dir(served.inside("d")).unwrap();
    symlink(served.outside("secret"), served.inside("absolute")).unwrap();
    symlink("../outside/secret", served.inside("relative")).unwrap();
    symlink("../../outside/secret", served.inside("d/deep")).unwrap();
    symlink("relative", served.inside("chain")).unwrap();
    symlink(&outside, served.inside("directory")).unwrap();
    symlink("../outside/none", served.inside("dangling")).unwrap();
    symlink("/proc/self/root/etc/passwd", served.inside("magic")).unwrap();
    // Out and back in again is out, too.
    symlink("../workspace/d", served.inside("detour")).unwrap();
    let workspace_again = served.inside("d/../../outside/../workspace/d");
    symlink(workspace_again, served.inside("long-detour")).unwrap();
    let beside = format!("{}-2", served.inside("").display()).replace("/-2", "-2");
    symlink(beside, served.inside("prefix")).unwrap();

    for name in [
        "absolute",
        "relative",
        "d/deep",
        "chain",
        "directory/secret",
        "directory/new",
        "directory/new/deeper",
        "dangling",
        "magic",
        "detour/f",
        "long-detour/f",
        "prefix",
    ] {
        for response in [served.get(name).await, served.put(name, "mine").await] {
            let (status, code, text) = error_of(response).await;
            assert_eq!(
                (status.as_u16(), code),
                (403, ErrorCode::InvalidRequest),
                "{name}"
            );
            assert!(text.contains("within /workspace"), "{text}");
        }
    }
    assert_untouched(&served);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_stay_inside_work() {
    let served = Served::start().await;
    fs::create_dir_all(served.inside("a/b")).unwrap();
    fs::write(served.inside("a/b/f"), "old").unwrap();
    symlink("a/b", served.inside("relative")).unwrap();
    symlink(served.inside("a/b"), served.inside("absolute")).unwrap();
    symlink(served.inside(""), served.inside("root")).unwrap();
    symlink("../b/../../a/./b/f", served.inside("a/b/winding")).unwrap();
    symlink("root/absolute/winding", served.inside("chain")).unwrap();

    for name in [
        "relative/f",
        "absolute/f",
        "root/a/b/f",
        "a/b/winding",
        "chain",
        "root/root/root/chain",
    ] {
        let put = served.put(name, name.to_owned()).await;
        assert_eq!(put.status(), 200, "{name}");
        // Written through: the file has the bytes, and the links are links still.
        assert_eq!(fs::read_to_string(served.inside("a/b/f")).unwrap(), name);
        assert_eq!(served.bytes(name).await, name.as_bytes());
    }
    assert!(served.inside("chain").is_symlink() && served.inside("a/b/winding").is_symlink());
    assert_eq!(served.names("a/b"), ["f", "winding"]);

    for name in ["root", "absolute"] {
        let got = error_of(served.get(name).await).await;
        let put = error_of(served.put(name, "").await).await;
        assert_eq!((got.1, put.1), (ErrorCode::IsDirectory, ErrorCode::IsDirectory));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dangling_link_is_written_through() {
    let served = Served::start().await;
    symlink("new", served.inside("link")).unwrap();
    symlink(served.inside("made/here/f"), served.inside("deep")).unwrap();
    symlink("made/too", served.inside("parent")).unwrap();

    assert_eq!(served.get("link").await.status(), 404);
    assert_eq!(served.get("deep").await.status(), 404);
    for (name, target) in [
        ("link", "new"),
        ("deep", "made/here/f"),
        ("parent/f", "made/too/f"),
    ] {
        assert_eq!(served.put(name, name.to_owned()).await.status(), 200, "{name}");
        assert_eq!(fs::read_to_string(served.inside(target)).unwrap(), name);
        assert_eq!(served.bytes(name).await, name.as_bytes());
    }
    assert!(served.inside("link").is_symlink() && served.inside("parent").is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_forty_times() {
    let served = Served::start().await;
    fs::write(served.inside("0"), "end").unwrap();
    for n in 1..=41 {
        // Absolute, so that our own walk follows them and not the kernel.
        symlink(served.inside(&(n - 1).to_string()), served.inside(&n.to_string())).unwrap();
    }
    symlink("loop", served.inside("loop")).unwrap();

    assert_eq!(served.bytes("40").await, b"end");
    assert_eq!(served.put("40", "new").await.status(), 200);
    assert_eq!(served.bytes("0").await, b"new");
    for name in ["41", "loop", "loop/f"] {
        for response in [served.get(name).await, served.put(name, "").await] {
            let (status, code, _) = error_of(response).await;
            assert_eq!(
                (status.as_u16(), code),
                (400, ErrorCode::InvalidRequest),
                "{name}"
            );
        }
    }
}

/// Swaps two names for as long as it lives.
struct Flipper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flipper {
    fn start(served: &Served, one: &str, other: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, one, other) = (Arc::clone(&stop), served.inside(one), served.inside(other));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                // Without a pause the lock of the directory starves all others.
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok());
    }
}

/// Reads and writes `names` until each of them was seen both inside and leading out, at least
/// `ROUNDS` times.
async fn race(served: &Served, names: &[&str]) {
    const ROUNDS: usize = 300;
    for name in names {
        let (mut inside, mut refused) = ([0, 0], [0, 0]);
        for round in 0..100 * ROUNDS {
            if round >= ROUNDS && !inside.contains(&0) && !refused.contains(&0) {
                break;
            }
            let got = served.get(name).await;
            match got.status().as_u16() {
                200 => {
                    assert_eq!(got.text().await.unwrap(), "inside", "{name}");
                    inside[0] += 1;
                }
                403 => refused[0] += 1,
                // The directory is the one that no upload has reached yet.
                404 => {}
                status => unreachable!("GET {name}: {status}"),
            }
            match served.put(name, "inside").await.status().as_u16() {
                200 => inside[1] += 1,
                403 => refused[1] += 1,
                status => unreachable!("PUT {name}: {status}"),
            }
        }
        assert!(
            !inside.contains(&0) && !refused.contains(&0),
            "{name}: {inside:?} {refused:?}"
        );
    }
    assert_untouched(served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_becomes_a_link_out_in_mid_request() {
    let served = with_a_secret().await;
    fs::create_dir(served.inside("real")).unwrap();
    fs::write(served.inside("real/secret"), "inside").unwrap();
    symlink(served.outside(""), served.inside("link")).unwrap();
    // Absolute, so that reads take our own walk, too.
    symlink(served.inside("real"), served.inside("through")).unwrap();
    let flipper = Flipper::start(&served, "real", "link");
    race(
        &served,
        &["real/secret", "through/secret", "real/new", "real/parent/new"],
    )
    .await;
    drop(flipper);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_becomes_a_link_out_in_mid_request() {
    let served = with_a_secret().await;
    fs::write(served.inside("file"), "inside").unwrap();
    symlink("../outside/secret", served.inside("link")).unwrap();
    symlink(served.inside("file"), served.inside("through")).unwrap();
    let flipper = Flipper::start(&served, "file", "link");
    for _ in 0..1000 {
        for name in ["file", "through"] {
            let got = served.get(name).await;
            if got.status() == 200 {
                assert_eq!(got.text().await.unwrap(), "inside");
            } else {
                assert_eq!(got.status(), 403);
            }
        }
    }
    drop(flipper);
    // A write may replace either of the two names, so that only one is left to be flipped: few
    // rounds, each from the start.
    for _ in 0..100 {
        fs::remove_file(served.inside("file")).unwrap();
        fs::remove_file(served.inside("link")).unwrap();
        fs::write(served.inside("file"), "inside").unwrap();
        symlink("../outside/secret", served.inside("link")).unwrap();
        let flipper = Flipper::start(&served, "file", "link");
        let status = served.put("file", "inside").await.status();
        assert!(status == 200 || status == 403, "{status}");
        drop(flipper);
    }
    assert_untouched(&served);
}
