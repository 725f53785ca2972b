//! Snapshots and DELETE: what was destroyed does not come back, and what is deleted leaves nothing.

use std::time::Duration;

use rand::Rng as _;
use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::client;
use crate::sandbox_settings::{create, unique};
use crate::snapshot::write;
use crate::snapshot_store::{Fault, FaultyStore};

#[tokio::test]
async fn a_sandbox_that_is_destroyed_while_it_is_saved_does_not_come_back() {
    let store = FaultyStore::start();
    let bridge = Bridge::start(&store.vars());
    let client = Client::new(&bridge);
    // Each step of the save takes long enough to be hit.
    store.break_at(0, Fault::Slow);
    let rounds = if bridge.is_local { 8 } else { 4 };
    for round in 0..rounds {
        let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
        write(&sandbox, "a.txt", "gone").await;
        let wait = Duration::from_millis(rand::rng().random_range(0..400));
        let destroyed = async {
            tokio::time::sleep(wait).await;
            assert_eq!(sandbox.destroy().await, 204);
        };
        let stopped = sandbox.request(Method::POST, "/stop").send();
        drop(tokio::join!(stopped, destroyed));
        // The save may still be under way.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = sandbox.request(Method::GET, "").send().await.unwrap();
        assert_error(answer, 404, "sandbox_not_found").await;
        let left = client.snapshots_of(&sandbox.id).await;
        assert_eq!(left, [""; 0], "round {round}, {wait:?}");
    }
    store.heal();
    assert_eq!(store.keys("snapshots/archive/"), [""; 0]);
}

#[tokio::test]
async fn a_deletion_that_failed_is_finished_by_the_next_one() {
    let store = FaultyStore::start();
    let bridge = Bridge::start(&store.vars());
    let client = Client::new(&bridge);
    let sandbox = client.create().await;
    let made = sandbox.snapshot(&json!({})).await;
    let id = made["id"].as_str().unwrap();
    // The manifest is read and deleted, and nothing else.
    store.break_at(2, Fault::Error);
    assert_error(client.delete_snapshot(id).await, 502, "snapshot_error").await;
    assert_eq!(store.keys("snapshots/archive/").len(), 1);
    store.heal();
    assert_error(client.delete_snapshot(id).await, 404, "snapshot_not_found").await;
    assert_eq!(store.keys("snapshots/archive/"), [""; 0]);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn what_ran_in_a_destroyed_sandbox_does_not_run_in_the_next_one_of_its_name() {
    let client = client();
    let name = unique("successor");
    let settings = json!({ "name": name, "autoSave": { "on": "sleep" } });
    let sandbox = create(&client, &settings).await;
    let body = json!({ "argv": ["sleep", "1000"], "id": "service", "restart": true });
    sandbox.start(&body).await;
    let made = sandbox.snapshot(&json!({})).await;
    sandbox.stop().await;
    assert_eq!(sandbox.destroy().await, 204);
    let next = create(&client, &json!({ "name": name, "snapshot": made["id"] })).await;
    assert_eq!(next.id, sandbox.id);
    assert_eq!(next.sh("echo started").await.text(), "started\n");
    let answer = next.process("service").request(Method::GET, "").send().await;
    assert_error(answer.unwrap(), 404, "process_not_found").await;
    assert_eq!(next.destroy().await, 204);
    client.delete_snapshot(made["id"].as_str().unwrap()).await;
}
