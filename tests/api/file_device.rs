//! Devices, FIFOs and sockets are listed, moved and removed, and never opened.

use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use sandbar_tests::docker::{container_of, docker};
use sandbar_tests::file::path_of;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::{bridge, sandbox};

/// Makes a tree with one of each, but the devices.
const MAKE: &str = "mkdir -p t/sub && echo needle > t/f && mkfifo t/pipe && ln -s device t/link && \
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"t/socket\")'";

const SPECIAL: [&str; 3] = ["device", "pipe", "socket"];

/// A sandbox with a tree of one of each, the directory `t` of its workspace.
async fn with_devices() -> Sandbox {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.sh(MAKE).await.code(), 0);
    if bridge().has_containers {
        // Only root may make devices in the overlay file system of a container.
        let container = container_of(&sandbox.boot_id().await).expect("its container");
        let make = "cd /workspace/t && for d in device sub/device; do mknod $d c 1 3 && chown --reference=. $d || exit; done";
        docker(&["exec", "--user", "root", &container, "sh", "-c", make]);
    } else {
        // Every user may make the character device 0:0, which stands for a deleted file in an overlay.
        let made = sandbox
            .sh("mknod t/device c 0 0 && mknod t/sub/device c 0 0")
            .await;
        assert_eq!(made.code(), 0);
    }
    sandbox
}

#[tokio::test]
async fn they_are_listed_moved_and_removed() {
    let sandbox = with_devices().await;
    let (entries, end) = sandbox.list_all("workspace?depth=9").await;
    assert_eq!(end["entries"], 8);
    let others = entries.iter().filter(|entry| entry["type"] == "other");
    let mut others: Vec<_> = others.map(path_of).collect();
    others.sort();
    assert_eq!(
        others,
        ["t/device", "t/pipe", "t/socket", "t/sub/device"].map(|path| format!("/workspace/{path}"))
    );
    for name in SPECIAL {
        let entry = ok(sandbox.stat(&format!("workspace/t/{name}")).await).await;
        assert_eq!((&entry["type"], &entry["size"]), (&json!("other"), &json!(0)));
        let patch = sandbox.request(Method::PATCH, &format!("/file/workspace/t/{name}"));
        let patched = ok(patch.json(&json!({ "mode": "0600" })).send().await.unwrap()).await;
        assert_eq!(patched["mode"], "0600", "{name}");
    }
    let entry = ok(sandbox.stat("workspace/t/link?follow=true").await).await;
    assert_eq!(entry["type"], "other");

    // A copy leaves out devices and sockets, and says so.
    let copied = ok(sandbox.copy("t", "copied").await).await;
    assert_eq!(copied, json!({ "ok": true, "skipped": 3 }));
    let found = sandbox.sh("cd copied && find . | LC_ALL=C sort").await.text();
    assert_eq!(found, ".\n./f\n./link\n./pipe\n./sub\n");

    for name in SPECIAL {
        let moved = sandbox.rename(&format!("t/{name}"), &format!("new/{name}")).await;
        assert_eq!(moved.status(), 200, "{name}");
    }
    assert_eq!(
        sandbox.sh("stat -c %F new/* t/sub/device").await.text(),
        "character special file\nfifo\nsocket\ncharacter special file\n"
    );
    for path in ["new/device", "new/pipe", "new/socket"] {
        assert_eq!(sandbox.remove(&format!("workspace/{path}")).await.status(), 200);
    }
    for tree in ["t", "copied"] {
        let removed = sandbox.remove(&format!("workspace/{tree}?recursive=true")).await;
        assert_eq!(removed.status(), 200, "{tree}");
    }
    assert_eq!(sandbox.sh("find . -mindepth 1").await.text(), "./new\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn they_are_never_read_or_written() {
    let sandbox = with_devices().await;
    let find = json!({ "pattern": "needle", "path": "t" });
    let found = ok(sandbox.post("/search", &find).await).await;
    assert_eq!(found["matches"].as_array().map(Vec::len), Some(1), "{found}");
    for name in SPECIAL.into_iter().chain(["link"]) {
        let path = format!("t/{name}");
        let file = format!("/file/workspace/{path}");
        let edits = json!([{ "old": "a", "new": "b" }]);
        let post = |route: &'static str, body: Value| {
            let sandbox = &sandbox;
            async move { sandbox.post(route, &body).await }
        };
        for response in [
            sandbox.get(&format!("workspace/{path}")).await,
            sandbox.put(&format!("workspace/{path}"), "x").await,
            sandbox.put(&format!("workspace/{path}?append=true"), "x").await,
            sandbox.put(&format!("workspace/{path}?in_place=true"), "x").await,
            sandbox
                .request(Method::PUT, &format!("{file}/below"))
                .body("x")
                .send()
                .await
                .unwrap(),
            post("/edit", json!({ "files": [{ "path": path, "edits": edits }] })).await,
            post("/search", json!({ "pattern": "a", "path": path })).await,
            sandbox
                .request(Method::GET, &format!("/watch/workspace/{path}"))
                .send()
                .await
                .unwrap(),
            sandbox
                .request(Method::GET, &format!("/directory/workspace/{path}"))
                .send()
                .await
                .unwrap(),
            sandbox
                .request(Method::POST, &format!("/persist?path={path}"))
                .send()
                .await
                .unwrap(),
        ] {
            assert_error(response, 400, "invalid_request").await;
        }
    }
    for name in ["device", "socket", "link"] {
        let copied = sandbox.copy(&format!("t/{name}"), "x").await;
        assert_error(copied, 400, "invalid_request").await;
    }
    let left = sandbox.sh("ls -A; ls -A t").await.text();
    assert_eq!(left, "t\ndevice\nf\nlink\npipe\nsocket\nsub\n");
    sandbox.destroy().await;
}
