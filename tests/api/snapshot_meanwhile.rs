//! Events during a save of a workspace: the idle sleep, a command, a change of the settings.

use std::time::Duration;

use reqwest::Method;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::sandbox_settings::{create, info, patch};
use crate::snapshot::{read, write};
use crate::snapshot_store::{Fault, FaultyStore};

#[tokio::test]
async fn the_idle_sleep_waits_for_a_save_and_for_a_restore() {
    let store = FaultyStore::start();
    let bridge = Bridge::start(&store.vars());
    let client = Client::new(&bridge);
    let sandbox = create(&client, &json!({ "sleepAfter": "1s" })).await;
    write(&sandbox, "a.txt", "kept").await;
    // Each of the requests takes as long as the sandbox may be idle.
    store.break_at(0, Fault::Late);
    let made = sandbox.snapshot(&json!({})).await;
    let id = made["id"].as_str().unwrap();
    store.heal();
    write(&sandbox, "a.txt", "changed").await;
    store.break_at(0, Fault::Late);
    // It says that the directory is as it was saved. A moment later, the sandbox sleeps.
    ok(sandbox.restore(id).await).await;
    store.heal();
    assert_eq!(sandbox.destroy().await, 204);
    client.delete_snapshot(id).await;
}

#[tokio::test]
async fn a_command_does_not_fail_with_the_save_of_a_stop() {
    let store = FaultyStore::start();
    let bridge = Bridge::start(&store.vars());
    let client = Client::new(&bridge);
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    // The save takes this long, and then fails.
    write(&sandbox, ".sandbox/before-save", "#!/bin/sh\nsleep 1\n").await;
    assert_eq!(sandbox.sh("chmod +x .sandbox/before-save").await.code(), 0);
    store.break_at(0, Fault::Error);
    let (stopped, ran) = tokio::join!(sandbox.request(Method::POST, "/stop").send(), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sandbox.sh("echo ran").await.text()
    });
    assert_eq!(stopped.unwrap().status(), 502);
    assert_eq!(ran, "ran\n");
    store.heal();
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_save_that_ends_when_auto_save_is_off_becomes_an_ordinary_snapshot() {
    let store = FaultyStore::start();
    let bridge = Bridge::start(&store.vars());
    let client = Client::new(&bridge);
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    write(&sandbox, "a.txt", "old").await;
    store.break_at(0, Fault::Late);
    let (stopped, changed) = tokio::join!(sandbox.request(Method::POST, "/stop").send(), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        patch(&sandbox, &json!({ "autoSave": null })).await
    });
    assert_eq!(
        (stopped.unwrap().status(), changed.status()),
        (204.try_into().unwrap(), 200.try_into().unwrap())
    );
    store.heal();
    assert!(info(&sandbox).await["saved"]["snapshot"].is_null());
    assert_eq!(read(&sandbox, "a.txt").await, None, "it is not restored");
    let list = client.request(Method::GET, &format!("/v1/snapshot?sandbox={}", sandbox.id));
    let list = ok(list.send().await.unwrap()).await;
    let saves = list["snapshots"].as_array().unwrap();
    assert_eq!((saves.len(), &saves[0]["autoSave"]), (1, &json!(false)), "{list}");
    client.delete_snapshot(saves[0]["id"].as_str().unwrap()).await;
    assert_eq!(sandbox.destroy().await, 204);
}
