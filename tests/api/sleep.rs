//! Idle sandboxes are put to sleep; busy ones are not. On a bridge of its own, with a short
//! `SANDBOX_SLEEP_AFTER`.

use std::time::Duration;

use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::eventually;

#[tokio::test]
async fn a_silent_command_keeps_a_sandbox_awake_and_its_end_lets_it_sleep() {
    let bridge = Bridge::start(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let sandbox = Client::new(&bridge).create().await;
    let boot = sandbox.boot_id().await;

    let finished = sandbox.sh("sleep 9; echo awake").await;
    assert_eq!(
        (finished.text().as_str(), finished.code()),
        ("awake\n", 0),
        "four times SANDBOX_SLEEP_AFTER"
    );
    assert_eq!(sandbox.boot_id().await, boot);

    let detached = json!({ "argv": ["sh", "-c", "echo up; sleep 9"], "detached": true });
    let mut events = sandbox.stream(&detached).await;
    events.next().await.unwrap().unwrap();
    drop(events);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(
        sandbox.running().await,
        "a command without a client keeps it awake too"
    );

    eventually("it sleeps", || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        !sandbox.running().await
    })
    .await;
    assert!(!sandbox.running().await, "asking does not wake it");
    assert_ne!(
        sandbox.boot_id().await,
        boot,
        "the next request wakes it, as a new boot"
    );
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn never_is_never() {
    let bridge = Bridge::start(&[("SANDBOX_SLEEP_AFTER", "never")]);
    let sandbox = Client::new(&bridge).create().await;
    sandbox.boot_id().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(sandbox.running().await);
    sandbox.destroy().await;
}
