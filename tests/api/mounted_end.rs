//! How mounts end, well and badly.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use sandbar_tests::client::assert_error;
use sandbar_tests::{Bridge, Client, raw};
use serde_json::json;

use crate::bucket::{BUCKET, Setting, assert_ok};
use crate::eventually;

#[tokio::test]
async fn a_mount_in_use_stays_until_it_is_not() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    setting.mounted("/mnt/data", json!({})).await;
    let worker = json!({ "argv": ["sh", "-c", "cd /mnt/data; echo in; sleep 600"] });
    let mut events = setting.sandbox.stream(&worker).await;
    events.next().await.unwrap().unwrap();
    let text = assert_error(setting.unmount("/mnt/data").await, 502, "unmount_error").await;
    assert!(text.contains("/mnt/data: it is busy"), "{text}");
    assert_eq!(setting.sh("echo x >/mnt/data/x; ls /mnt/data").await, "x");
    drop(events);
    eventually("it can be unmounted", || async {
        setting.unmount("/mnt/data").await.status() == 200
    })
    .await;
    setting.assert_nothing_is_left("/mnt/data").await;
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_mount_whose_s3fs_died_gives_errors_and_can_be_mounted_anew() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    if !setting.sandbox.client.bridge.is_local {
        eprintln!("skipped: a command in a container may not kill s3fs");
        return;
    }
    setting.server.put(BUCKET, "f", "content");
    let kill = "for p in /proc/[0-9]*; do grep -q s3fs $p/comm && kill -9 ${p#/proc/}; done; sleep 0.5";
    setting.mounted("/mnt/data", json!({})).await;
    setting.sh(kill).await;
    let text = setting.sh("echo x >/mnt/data/x").await;
    assert!(
        text.contains("not connected"),
        "nothing is written beside it: {text}"
    );
    setting.mounted("/mnt/data", json!({})).await;
    assert_eq!(setting.sh("cat /mnt/data/f").await, "content");
    setting.sh(kill).await;
    assert_ok(setting.unmount("/mnt/data").await).await;
    setting.assert_nothing_is_left("/mnt/data").await;
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let bridge = Bridge::start(&[("SANDBOX_MOUNT_TIMEOUT_MS", "3000")]);
    let Some(setting) = Setting::new_in(Client::new(&bridge).create().await).await else {
        return;
    };
    // The kernel accepts its connections.
    let silent = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let host = setting.endpoint.rsplit_once(':').unwrap().0.to_owned();
    let endpoint = format!("{host}:{}", silent.local_addr().unwrap().port());
    let started = Instant::now();
    let response = setting.mount("/mnt/data", json!({ "endpoint": endpoint })).await;
    let text = assert_error(response, 502, "mount_error").await;
    assert!(text.contains("did not answer within 3 s"), "{text}");
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "a generous bound: {:?}",
        started.elapsed()
    );
    setting.assert_nothing_is_left("/mnt/data").await;
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_mount_goes_on_when_its_client_leaves() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    let body = json!({ "bucket": BUCKET, "mountPath": "/mnt/data", "options": setting.options(json!({})) });
    let body = body.to_string();
    let head = format!(
        "POST /v1/sandbox/{}/mount\nContent-Length: {}",
        setting.sandbox.id,
        body.len()
    );
    // It is woken already, so that only the mount takes time.
    setting.sandbox.boot_id().await;
    let connection = raw::connect(&setting.sandbox.client.bridge, &head, body.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(connection);
    // However far it got, no mount stays half done, and the path is free or a mount. Nothing is
    // written before it is one: that would be beside the bucket, in the directory that is removed
    // with the mount.
    eventually("it is a mount", || async {
        setting.mount("/mnt/data", json!({})).await;
        setting
            .sh("grep -q /mnt/data /proc/mounts && touch /mnt/data/x && grep -c /mnt/data /proc/mounts")
            .await
            == "1"
    })
    .await;
    assert_ok(setting.unmount("/mnt/data").await).await;
    setting.assert_nothing_is_left("/mnt/data").await;
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_mount_keeps_no_sandbox_awake_and_what_was_written_outlives_it() {
    let bridge = Bridge::start(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let Some(setting) = Setting::new_in(Client::new(&bridge).create().await).await else {
        return;
    };
    setting.mounted("/mnt/data", json!({})).await;
    setting.sh("echo kept >/mnt/data/f").await;
    eventually("it sleeps", || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        !setting.sandbox.running().await
    })
    .await;
    assert_eq!(setting.sh("ls /mnt").await, "", "a new boot has no mounts");
    setting.mounted("/mnt/data", json!({})).await;
    assert_eq!(setting.sh("cat /mnt/data/f").await, "kept");
    setting.sandbox.destroy().await;
}
