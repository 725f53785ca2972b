//! Snapshots: made, restored, listed, deleted, and begun with.

use futures_util::future::join_all;
use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::sandbox_settings::{create, info};
use crate::{client, sandbox};

/// Prints a digest of everything in the workspace: names, types, modes, times, links and content.
pub const DIGEST: &str = r#"cd /workspace && {
    find . -mindepth 1 -printf '%P %y %m %T@ %s %l %n\n' | sort
    find . -type f -print0 | sort -z | xargs -0 sha256sum
} | sha256sum"#;

/// Writes one file.
pub async fn write(sandbox: &Sandbox, name: &str, content: &str) {
    let written = sandbox
        .put(&format!("workspace/{name}"), content.to_owned())
        .await;
    assert_eq!(written.status(), 200, "{}", written.text().await.unwrap());
}

/// The content of a file; `None`: there is none.
pub async fn read(sandbox: &Sandbox, name: &str) -> Option<String> {
    let response = sandbox.get(&format!("workspace/{name}")).await;
    match response.status().as_u16() {
        200 => Some(response.text().await.unwrap()),
        404 => None,
        status => panic!("{status}: {}", response.text().await.unwrap()),
    }
}

/// The id of a snapshot.
pub fn id_of(snapshot: &Value) -> &str {
    snapshot["id"].as_str().expect("an id")
}

#[tokio::test]
async fn a_snapshot_is_made_restored_listed_and_deleted() {
    let (client, sandbox) = (client(), sandbox().await);
    write(&sandbox, "a/b.txt", "first").await;
    let made = sandbox.snapshot(&json!({ "name": "one", "ttl": "1h" })).await;
    let id = id_of(&made);
    assert_eq!(made["sandbox"], sandbox.id.as_str());
    assert_eq!(
        (&made["name"], &made["dir"]),
        (&json!("one"), &json!("/workspace"))
    );
    // A directory and a file.
    assert_eq!((&made["size"], &made["files"]), (&json!(5), &json!(2)));
    assert_eq!(
        (&made["kind"], &made["autoSave"]),
        (&json!("archive"), &json!(false))
    );
    assert!(made["expiresAt"].as_str() > made["createdAt"].as_str());
    assert_eq!(made["sha256"].as_str().map(str::len), Some(64));

    let path = format!("/v1/snapshot/{id}");
    let answer = ok(client.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!(answer, made);
    assert_eq!(client.snapshots_of(&sandbox.id).await, [id]);

    write(&sandbox, "a/b.txt", "second").await;
    write(&sandbox, "new.txt", "new").await;
    let restored = ok(sandbox.restore(id).await).await;
    assert_eq!(restored, made);
    assert_eq!(read(&sandbox, "a/b.txt").await.as_deref(), Some("first"));
    assert_eq!(
        read(&sandbox, "new.txt").await,
        None,
        "the whole directory is replaced"
    );

    assert_eq!(client.delete_snapshot(id).await.status(), 204);
    assert_error(client.delete_snapshot(id).await, 404, "snapshot_not_found").await;
    assert_error(sandbox.restore(id).await, 404, "snapshot_not_found").await;
    assert_eq!(client.snapshots_of(&sandbox.id).await, [""; 0]);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_large_workspace_of_every_kind_is_exact_after_a_round() {
    let (client, sandbox) = (client(), sandbox().await);
    // Several parts, and what no compressor makes smaller.
    let make = r#"cd /workspace && head -c 40000000 /dev/urandom > random && truncate -s 50M sparse &&
        printf x | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none &&
        mkdir -p 'a b/c' empty && printf hello > 'a b/c/h' && ln 'a b/c/h' hard && ln -s 'a b/c' link &&
        ln -s /nowhere dangling && printf '#!/bin/sh\n' > run && chmod 4751 run && chmod 1777 empty &&
        printf y > "$(printf 'n\303\251\nline')" && touch -d '2001-02-03 04:05:06.123456789' 'a b/c/h' &&
        for i in $(seq 300); do printf $i > empty/$i; done; true"#;
    assert_eq!(sandbox.sh(make).await.text(), "");
    let before = sandbox.sh(DIGEST).await.text();
    let made = sandbox.snapshot(&json!({})).await;
    assert!(made["storedSize"].as_u64() > Some(40_000_000), "{made}");

    let other = create(&client, &json!({ "snapshot": id_of(&made) })).await;
    assert!(!other.running().await);
    let first = other.exec_json(&json!({ "argv": ["true"] })).await;
    assert_eq!(first.headers()["sandbox-restored"], id_of(&made));
    assert_eq!(other.sh(DIGEST).await.text(), before);
    let blocks = other.sh("stat -c %b /workspace/sparse").await.text();
    assert!(
        blocks.trim().parse::<u64>().unwrap() < 10_000,
        "holes stay: {blocks}"
    );
    let again = other.exec_json(&json!({ "argv": ["true"] })).await;
    assert!(!again.headers().contains_key("sandbox-restored"));

    // Each start begins with it.
    other.stop().await;
    assert_eq!(other.sh(DIGEST).await.text(), before);
    assert_eq!(info(&other).await["restored"]["snapshot"], id_of(&made));
    client.delete_snapshot(id_of(&made)).await;
    other.stop().await;
    let refused = other.exec_json(&json!({ "argv": ["true"] })).await;
    assert_error(refused, 409, "restore_incomplete").await;
    assert!(!other.running().await, "no empty workspace runs");
    assert!(info(&other).await.get("restored").is_none());
    let without = other.request(Method::POST, "/start?without=restore").send().await;
    assert_eq!(ok(without.unwrap()).await["state"], "running");
    assert_eq!(other.sh("ls /workspace").await.text(), "");
    for sandbox in [sandbox, other] {
        assert_eq!(sandbox.destroy().await, 204);
    }
}

#[tokio::test]
async fn a_directory_and_excludes_are_saved_alone() {
    let (client, sandbox) = (client(), sandbox().await);
    write(&sandbox, "app/keep.txt", "keep").await;
    write(&sandbox, "app/node_modules/x.js", "x").await;
    write(&sandbox, "other.txt", "other").await;
    let made = sandbox
        .snapshot(&json!({ "dir": "/workspace/app", "excludes": ["node_modules/"] }))
        .await;
    assert_eq!(
        (&made["dir"], &made["size"]),
        (&json!("/workspace/app"), &json!(4))
    );
    write(&sandbox, "app/keep.txt", "changed").await;
    write(&sandbox, "other.txt", "stays").await;
    ok(sandbox.restore(id_of(&made)).await).await;
    assert_eq!(read(&sandbox, "app/keep.txt").await.as_deref(), Some("keep"));
    assert_eq!(read(&sandbox, "app/node_modules/x.js").await, None);
    assert_eq!(read(&sandbox, "other.txt").await.as_deref(), Some("stays"));
    let copy = json!({ "snapshot": id_of(&made), "dir": "/workspace/copies/one" });
    ok(sandbox.post("/restore", &copy).await).await;
    assert_eq!(
        read(&sandbox, "copies/one/keep.txt").await.as_deref(),
        Some("keep")
    );
    client.delete_snapshot(id_of(&made)).await;
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_fork_of_twenty_has_the_files_and_the_settings() {
    let client = client();
    let origin = create(
        &client,
        &json!({ "env": { "WHO": "fork" }, "labels": { "kind": "fork" }, "autoSave": { "on": "sleep" } }),
    )
    .await;
    write(&origin, "seed.txt", "seed").await;
    let forked = ok(origin.post("/fork", &json!({ "count": 20 })).await).await;
    let ids: Vec<&str> = forked["sandboxes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap_or_else(|| panic!("{item}")))
        .collect();
    assert_eq!(ids.len(), 20);
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 20);
    for id in &ids {
        assert!(
            !client.sandbox(id).running().await,
            "a fork starts with its first request"
        );
    }
    // Four at a time: this machine has two cores.
    for some in ids.chunks(4) {
        join_all(some.iter().map(async |id| {
            let fork = client.sandbox(id);
            let seen = fork.sh("cat seed.txt; echo \" $WHO\"").await.text();
            assert_eq!(seen, "seed fork\n");
            assert_eq!(fork.destroy().await, 204);
        }))
        .await;
    }
    // Of one that sleeps, it is the last save.
    write(&origin, "seed.txt", "later").await;
    origin.stop().await;
    let forked = ok(origin.post("/fork", &json!({})).await).await;
    let fork = client.sandbox(forked["sandboxes"][0]["id"].as_str().unwrap());
    assert!(!origin.running().await, "a fork starts nothing");
    // The next save of the origin leaves the snapshot of the fork.
    write(&origin, "seed.txt", "last").await;
    origin.stop().await;
    assert_eq!(read(&fork, "seed.txt").await.as_deref(), Some("later"));
    for sandbox in [&fork, &origin] {
        assert_eq!(sandbox.destroy().await, 204);
    }
    for id in client.snapshots_of(&origin.id).await {
        assert_eq!(client.delete_snapshot(&id).await.status(), 204);
    }
}

#[tokio::test]
async fn bad_requests_start_nothing() {
    let (client, sandbox) = (client(), sandbox().await);
    let unknown = "a".repeat(35);
    for (path, body, status, code) in [
        ("/snapshot", json!({ "dir": "/etc" }), 403, "invalid_request"),
        ("/snapshot", json!({ "ttl": 5 }), 400, "invalid_request"),
        ("/restore", json!({}), 400, "invalid_request"),
        ("/restore", json!({ "snapshot": "../x" }), 400, "invalid_request"),
        (
            "/restore",
            json!({ "snapshot": unknown }),
            404,
            "snapshot_not_found",
        ),
        (
            "/restore",
            json!({ "snapshot": unknown, "dir": "/etc" }),
            403,
            "invalid_request",
        ),
        ("/fork", json!({ "count": 0 }), 400, "invalid_request"),
        ("/fork", json!({}), 404, "sandbox_not_found"),
    ] {
        assert_error(sandbox.post(path, &body).await, status, code).await;
    }
    for body in [
        json!({ "snapshot": "x" }),
        json!({ "autoSave": true }),
        json!({ "autoSave": { "on": "exit" } }),
        json!({ "autoSave": { "on": "sleep", "interval": "1s" } }),
    ] {
        let request = client.request(Method::POST, "/v1/sandbox").json(&body);
        assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
    }
    let request = client
        .request(Method::POST, "/v1/sandbox")
        .json(&json!({ "snapshot": unknown }));
    assert_error(request.send().await.unwrap(), 404, "snapshot_not_found").await;
    for path in ["/v1/snapshot/x", "/v1/snapshot?limit=0", "/v1/snapshot?cursor=x"] {
        let response = client.request(Method::GET, path).send().await.unwrap();
        assert_error(response, 400, "invalid_request").await;
    }
    assert!(!sandbox.running().await);
    let missing = sandbox
        .post("/snapshot", &json!({ "dir": "/workspace/missing" }))
        .await;
    assert_error(missing, 404, "file_not_found").await;
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_list_has_pages() {
    let (client, sandbox) = (client(), sandbox().await);
    write(&sandbox, "a", "a").await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, id_of(&sandbox.snapshot(&json!({})).await).to_owned());
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/snapshot?sandbox={}&limit=2{cursor}", sandbox.id);
        let page = ok(client.request(Method::GET, &path).send().await.unwrap()).await;
        let snapshots = page["snapshots"].as_array().unwrap();
        listed.extend(snapshots.iter().map(|snapshot| id_of(snapshot).to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, made, "the newest first");
    for id in made {
        client.delete_snapshot(&id).await;
    }
    assert_eq!(sandbox.destroy().await, 204);
}
