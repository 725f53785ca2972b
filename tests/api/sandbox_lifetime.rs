//! Settings in time: sleep, keepAlive, maxLifetime, and what outlives the object and the Worker. On
//! bridges of their own.

use std::time::Duration;

use sandbar_tests::{Bridge, Client};
use serde_json::json;
use tokio::time::sleep;

use crate::eventually;
use crate::sandbox_settings::{create, info, patch};

#[tokio::test]
async fn each_sandbox_sleeps_after_its_own_time() {
    let bridge = Bridge::start(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let client = Client::new(&bridge);
    let usual = create(&client, &json!({ "env": { "A": "1" } })).await;
    let longer = create(&client, &json!({ "sleepAfter": "1h" })).await;
    let never = create(&client, &json!({ "keepAlive": true, "sleepAfter": "1s" })).await;
    for sandbox in [&usual, &longer, &never] {
        sandbox.boot_id().await;
    }
    eventually("one sleeps", || async {
        sleep(Duration::from_millis(300)).await;
        info(&usual).await["state"] == "stopped"
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    assert!(longer.running().await && never.running().await);
    assert_eq!(usual.sh("echo $A").await.text(), "1\n", "settings outlive sleep");

    for (sandbox, change) in [
        (&longer, json!({ "sleepAfter": "1s" })),
        (&never, json!({ "keepAlive": false })),
    ] {
        assert_eq!(patch(sandbox, &change).await.status(), 200);
        eventually("a change takes effect at once", || async {
            sleep(Duration::from_millis(300)).await;
            !sandbox.running().await
        })
        .await;
    }
    for sandbox in [usual, longer, never] {
        assert_eq!(sandbox.destroy().await, 204);
    }
}

#[tokio::test]
async fn the_lifetime_ends_a_sandbox_whatever_it_does() {
    let bridge = Bridge::start(&[]);
    let client = Client::new(&bridge);
    let in_use = create(&client, &json!({ "maxLifetime": "5s", "keepAlive": true })).await;
    let unused = create(&client, &json!({ "maxLifetime": "5s" })).await;
    let ended = in_use.sh("echo begun; sleep 600").await;
    assert!(ended.exit.is_none());
    let error = ended.error.expect("an error event");
    assert_eq!(error["code"], "sandbox_expired");
    for sandbox in [&in_use, &unused] {
        eventually("it is gone", || async {
            let response = sandbox.request(reqwest::Method::GET, "").send().await.unwrap();
            response.status() == 404
        })
        .await;
        assert!(!sandbox.running().await);
    }
    let later = create(&client, &json!({ "labels": { "a": "1" } })).await;
    later.boot_id().await;
    assert_eq!(patch(&later, &json!({ "maxLifetime": "1s" })).await.status(), 200);
    eventually("a shorter lifetime counts from the creation", || async {
        !later.running().await
    })
    .await;
}

#[tokio::test]
async fn settings_outlive_the_object_and_keep_a_sandbox_awake() {
    let bridge = Bridge::start_evictable(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let client = Client::new(&bridge);
    let body = json!({ "env": { "A": "1" }, "labels": { "a": "1" }, "keepAlive": true, "name": "kept" });
    let sandbox = create(&client, &body).await;
    let boot = sandbox.boot_id().await;
    let before = info(&sandbox).await;
    bridge.evict().await;
    sleep(Duration::from_secs(5)).await;
    assert!(sandbox.running().await, "kept awake through the eviction");
    let mut after = info(&sandbox).await;
    after["lastActiveAt"] = before["lastActiveAt"].clone();
    assert_eq!(after, before);
    bridge.evict().await;
    assert_eq!(
        patch(&sandbox, &json!({ "env": { "A": "2" } })).await.status(),
        200
    );
    assert_eq!(sandbox.sh("echo $A").await.text(), "2\n");
    assert_eq!(sandbox.boot_id().await, boot);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn settings_outlive_a_deploy() {
    let (bridge, worker) = Bridge::start_restartable(&[]);
    let client = Client::new(&bridge);
    let sandbox = create(&client, &json!({ "env": { "A": "1" }, "labels": { "a": "1" } })).await;
    sandbox.boot_id().await;
    assert_eq!(sandbox.post("/stop", &json!({})).await.status(), 204);
    let before = info(&sandbox).await;
    let code = std::fs::read_to_string(&worker).unwrap();
    std::fs::write(&worker, format!("{code}\n// Restarted.\n")).unwrap();
    sleep(Duration::from_secs(2)).await;
    eventually("the Worker answers again", || async {
        let response = sandbox.request(reqwest::Method::GET, "/running").send().await;
        response.is_ok_and(|response| response.status() == 200)
    })
    .await;
    assert_eq!(info(&sandbox).await, before);
    assert_eq!(sandbox.sh("echo $A").await.text(), "1\n");
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn no_more_sandboxes_run_than_the_deployment_allows() {
    let bridge = Bridge::start(&[("MAX_SANDBOXES", "2")]);
    let client = Client::new(&bridge);
    let mut sandboxes = Vec::new();
    for _ in 0..4 {
        sandboxes.push(create(&client, &json!({ "labels": { "a": "1" } })).await);
    }
    let [first, second, third, fourth] = &sandboxes[..] else {
        panic!("four sandboxes");
    };
    first.boot_id().await;
    second.boot_id().await;
    let refused = third.exec_json(&json!({ "argv": ["true"] })).await;
    assert!(refused.headers().contains_key("retry-after"));
    let text = sandbar_tests::client::assert_error(refused, 503, "capacity_exceeded").await;
    assert!(text.contains("MAX_SANDBOXES"), "{text}");
    assert_eq!(info(third).await["state"], "new");
    assert_eq!(first.sh("echo runs").await.text(), "runs\n");

    assert_eq!(first.post("/stop", &json!({})).await.status(), 204);
    eventually("a stop makes room", || async {
        third.exec_json(&json!({ "argv": ["true"] })).await.status() == 200
    })
    .await;
    let refused = fourth.exec_json(&json!({ "argv": ["true"] })).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(second.destroy().await, 204);
    eventually("so does a DELETE", || async {
        fourth.exec_json(&json!({ "argv": ["true"] })).await.status() == 200
    })
    .await;
}
