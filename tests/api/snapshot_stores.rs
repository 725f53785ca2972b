//! The stores of snapshots, and their ends.

use std::time::Duration;

use reqwest::Method;
use sandbar_test_s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::shared::eventually;
use sandbar_tests::snapshot::object;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::sandbox_settings::{create, info};
use crate::snapshot::{DIGEST, id_of, read, write};
use crate::snapshot_store::{Fault, FaultyStore};

/// The test that every store passes.
async fn check_store(bridge: &Bridge) {
    let client = Client::new(bridge);
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    let large = "cd /workspace && head -c 20000000 /dev/urandom > random && printf small > small";
    assert_eq!(sandbox.sh(large).await.text(), "");
    let before = sandbox.sh(DIGEST).await.text();
    sandbox.stop().await;
    assert_eq!(read(&sandbox, "small").await.as_deref(), Some("small"));
    assert!(!sandbox.running().await, "a small file is read from the store");
    assert_eq!(sandbox.sh(DIGEST).await.text(), before);
    let small = sandbox.snapshot(&json!({ "excludes": ["random"] })).await;
    ok(sandbox.restore(id_of(&small)).await).await;
    assert_eq!(sandbox.sh("ls").await.text(), "small\n");
    assert_eq!(client.snapshots_of(&sandbox.id).await.len(), 2);
    assert_eq!(client.delete_snapshot(id_of(&small)).await.status(), 204);
    assert_eq!(sandbox.destroy().await, 204);
    assert_eq!(client.snapshots_of(&sandbox.id).await, [""; 0]);
}

#[tokio::test]
async fn a_bound_r2_bucket_is_a_store() {
    let (bridge, _) = Bridge::start_with_buckets(&["SNAPSHOTS"], &[]);
    check_store(&bridge).await;
    let sandbox = Client::new(&bridge).create().await;
    let body = json!({ "binding": "SNAPSHOTS", "mountPath": "/mnt/store" });
    assert_error(sandbox.post("/mount", &body).await, 400, "invalid_request").await;
}

#[tokio::test]
async fn an_s3_server_is_a_store() {
    let server = S3Server::start(&["saves"]);
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let bridge = Bridge::start(&[
        ("SNAPSHOT_BUCKET", "saves"),
        ("SNAPSHOT_ENDPOINT", &endpoint),
        ("SNAPSHOT_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("SNAPSHOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ]);
    check_store(&bridge).await;
    assert_eq!(server.keys("saves"), [""; 0], "nothing is left");
}

#[tokio::test]
async fn without_a_store_everything_says_what_to_set() {
    let bridge = Bridge::start(&[("SNAPSHOT_BUCKET", "")]);
    let client = Client::new(&bridge);
    let sandbox = client.create().await;
    let mut texts = Vec::new();
    for path in ["/snapshot", "/fork"] {
        if path == "/fork" {
            sandbox.sh("true").await;
        }
        texts.push(assert_error(sandbox.post(path, &json!({})).await, 501, "not_supported").await);
    }
    for body in [
        json!({ "autoSave": { "on": "sleep" } }),
        json!({ "snapshot": "a".repeat(35) }),
    ] {
        let request = client.request(Method::POST, "/v1/sandbox").json(&body);
        texts.push(assert_error(request.send().await.unwrap(), 501, "not_supported").await);
    }
    let list = client.request(Method::GET, "/v1/snapshot").send().await.unwrap();
    texts.push(assert_error(list, 501, "not_supported").await);
    for text in texts {
        assert!(
            text.contains("SNAPSHOTS") && text.contains("SNAPSHOT_BUCKET"),
            "{text}"
        );
    }
    sandbox.stop().await;
    assert!(info(&sandbox).await.get("saved").is_none());
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_snapshot_ends_with_its_ttl() {
    let bridge = Bridge::start_scheduled(&[]);
    let client = Client::new(&bridge);
    let sandbox = client.create().await;
    write(&sandbox, "a", "a").await;
    let short = sandbox.snapshot(&json!({ "ttl": "1s" })).await;
    let long = sandbox.snapshot(&json!({ "ttl": "1h" })).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let path = format!("/v1/snapshot/{}", id_of(&short));
    let gone = client.request(Method::GET, &path).send().await.unwrap();
    assert_error(gone, 404, "snapshot_not_found").await;
    let archive = object(&format!("archive/{}.tar.zst", id_of(&short)));
    assert!(archive.exists());
    eventually("the cron deletes it", async || {
        let cron = reqwest::get(format!("{}/cdn-cgi/handler/scheduled", bridge.url));
        assert_eq!(cron.await.unwrap().status(), 200);
        !archive.exists()
    })
    .await;
    assert_eq!(client.snapshots_of(&sandbox.id).await, [id_of(&long)]);
    client.delete_snapshot(id_of(&long)).await;
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_store_that_never_answers_holds_nobody_up() {
    let store = FaultyStore::start();
    // A request to the store may take twelve times as long.
    let vars = [&store.vars()[..], &[("SANDBOX_PLATFORM_TIMEOUT", "300ms")]].concat();
    let bridge = Bridge::start(&vars);
    if !bridge.is_local {
        // A container takes longer to end.
        return;
    }
    let client = Client::new(&bridge);
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    write(&sandbox, "a.txt", "kept").await;
    store.break_at(0, Fault::Hang);
    let stopped = sandbox.request(Method::POST, "/stop").send().await.unwrap();
    assert_error(stopped, 502, "snapshot_error").await;
    assert_eq!(sandbox.sh("cat a.txt").await.text(), "kept");
    store.heal();
    sandbox.stop().await;
    assert_eq!(read(&sandbox, "a.txt").await.as_deref(), Some("kept"));
    assert_eq!(sandbox.destroy().await, 204);
}
