//! Processes and the sleep of their sandbox.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::json;

use crate::eventually;

async fn sleeps(sandbox: &Sandbox) {
    eventually("it sleeps", || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        !sandbox.running().await
    })
    .await;
}

#[tokio::test]
async fn a_process_keeps_its_sandbox_awake_unless_it_is_not_to() {
    let bridge = Bridge::start(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let client = Client::new(&bridge);
    let (awake, asleep) = (client.create().await, client.create().await);
    awake.start(&json!({ "argv": ["sleep", "8"] })).await;
    let body = json!({ "argv": ["sleep", "600"], "keep_awake": false });
    let process = asleep.start(&body).await;
    let started = Instant::now();
    sleeps(&asleep).await;
    assert!(
        started.elapsed() < Duration::from_secs(7),
        "{:?}",
        started.elapsed()
    );
    let response = process.request(Method::GET, "").send().await.unwrap();
    assert_error(response, 404, "process_not_found").await;
    assert!(!asleep.running().await, "asking does not wake it");
    let rest = Duration::from_millis(6500).saturating_sub(started.elapsed());
    tokio::time::sleep(rest).await;
    assert!(awake.running().await, "three times SANDBOX_SLEEP_AFTER");
    sleeps(&awake).await;
    assert!(
        started.elapsed() < Duration::from_secs(25),
        "{:?}",
        started.elapsed()
    );
    tokio::join!(awake.destroy(), asleep.destroy());
}
