//! The warm pool. Except for the pool that is off, on bridges of its own.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use sandbar_tests::bridge::project_root;
use sandbar_tests::client::assert_error;
use sandbar_tests::kill::kill_sandboxd;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::{client, eventually};

/// An interval so long that no event in a test waits for it.
const AN_HOUR: &str = "1h";

#[tokio::test]
async fn it_fills_up_hands_out_what_runs_and_refills_at_once() {
    let client = pool(3, &[]).await;
    let boxes = [client.create().await, client.create().await];
    for sandbox in &boxes {
        assert!(sandbox.running().await, "it runs before its first use");
        assert_eq!(sandbox.sh("echo warm; pwd").await.text(), "warm\n/workspace\n");
    }
    has(&client, 3, 2).await;
    for sandbox in &boxes {
        assert_eq!(sandbox.destroy().await, 204);
    }
    has(&client, 3, 0).await;
    assert_eq!(
        stats(&client).await,
        json!({
            "warm": 3, "assigned": 0, "total": 3,
            "config": { "warmTarget": 3, "refreshInterval": 3_600_000 }, "maxInstances": null
        })
    );
}

#[tokio::test]
async fn a_hundred_creates_at_once_give_a_hundred_ids() {
    let client = pool(3, &[("WARM_POOL_SCALE_BATCH_SIZE", "1")]).await;
    let boxes = join_all((0..100).map(|_| client.create())).await;
    let ids: HashSet<&str> = boxes.iter().map(|sandbox| sandbox.id.as_str()).collect();
    assert_eq!(ids.len(), 100);
    let running = join_all(boxes.iter().map(Sandbox::running)).await;
    let warm = running.iter().filter(|running| **running).count();
    assert!((3..=100).contains(&warm), "{warm} of them run");
    has(&client, 3, warm).await;
    join_all(boxes.iter().map(Sandbox::destroy)).await;
    has(&client, 3, 0).await;
}

#[tokio::test]
async fn every_sandbox_that_runs_for_a_client_counts() {
    let client = pool(1, &[("WARM_POOL_MAX_INSTANCES", "3")]).await;
    let (own, other) = (client.sandbox("ownname"), client.sandbox("othername"));
    own.sh("true").await;
    has(&client, 1, 1).await;
    other.sh("true").await;
    has(&client, 1, 2).await;
    let taken = client.create().await;
    assert!(taken.running().await);
    has(&client, 0, 3).await;
    assert_eq!(stats(&client).await["maxInstances"], 3);
    assert!(
        !client.create().await.running().await,
        "none is left, a new id is given"
    );

    // A sandbox that ends on its own is no longer counted either.
    kill_sandboxd(&own.boot_id().await);
    has(&client, 0, 2).await;
    prime(&client).await;
    has(&client, 1, 2).await;
    for sandbox in [other, taken] {
        sandbox.destroy().await;
    }
    has(&client, 1, 0).await;
}

#[tokio::test]
async fn warm_sandboxes_can_be_shut_down_and_come_back() {
    let client = pool_of(Bridge::start_scheduled, 2, &[]).await;
    let taken = client.create().await;
    has(&client, 2, 1).await;
    assert_eq!(post(&client, "shutdown-prewarmed").await, json!({ "ok": true }));
    has(&client, 0, 1).await;
    assert!(taken.running().await, "only what nobody has is stopped");

    let url = format!("{}/cdn-cgi/handler/scheduled?cron=*+*+*+*+*", client.bridge.url);
    assert_eq!(client.http.get(url).send().await.unwrap().status(), 200);
    has(&client, 2, 1).await;
    taken.destroy().await;
}

#[tokio::test]
async fn warm_sandboxes_stay_awake_until_they_are_handed_out() {
    let client = pool(1, &[("SANDBOX_SLEEP_AFTER", "2s")]).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    has(&client, 1, 0).await;
    let taken = client.create().await;
    assert!(taken.running().await);
    eventually("a sandbox that nobody uses sleeps", || async {
        !taken.running().await
    })
    .await;
    // The one that took its place is awake.
    has(&client, 1, 0).await;
}

#[tokio::test]
async fn a_pool_that_cannot_fill_fails_nobody() {
    let config = project_root().join("wrangler.jsonc");
    let vars = [("WARM_POOL_TARGET", "2"), ("WARM_POOL_REFRESH_INTERVAL", "200")];
    let client = Client::new(&Bridge::start_bare(&config, &vars));
    prime(&client).await;
    for _ in 0..5 {
        client.create().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    has(&client, 0, 0).await;
}

#[tokio::test]
async fn a_pool_that_is_off_has_nothing_and_does_nothing() {
    let client = client();
    if stats(&client).await["config"]["warmTarget"] != 0 {
        eprintln!("skipped: the pool of this deployment is on");
        return;
    }
    let zeros = json!({
        "warm": 0, "assigned": 0, "total": 0,
        "config": { "warmTarget": 0, "refreshInterval": 10_000 }, "maxInstances": null
    });
    assert_eq!(stats(&client).await, zeros);
    prime(&client).await;
    assert_eq!(post(&client, "shutdown-prewarmed").await, json!({ "ok": true }));
    let sandbox = client.create().await;
    assert!(!sandbox.running().await);
    assert_eq!(stats(&client).await, zeros);
}

#[tokio::test]
async fn the_pool_is_guarded_by_the_key() {
    let client = client();
    for (method, path) in [
        (Method::GET, "stats"),
        (Method::POST, "prime"),
        (Method::POST, "shutdown-prewarmed"),
    ] {
        let url = format!("{}/v1/pool/{path}", client.bridge.url);
        let response = client.http.request(method, url).send().await.unwrap();
        assert_error(response, 401, "unauthorized").await;
    }
}

/// A client of a bridge whose pool is full.
async fn pool(target: usize, vars: &[(&str, &str)]) -> Client {
    pool_of(Bridge::start, target, vars).await
}

async fn pool_of(
    start: impl FnOnce(&[(&str, &str)]) -> Bridge,
    target: usize,
    vars: &[(&str, &str)],
) -> Client {
    let target_text = target.to_string();
    let mut all = vec![
        ("WARM_POOL_TARGET", target_text.as_str()),
        ("WARM_POOL_REFRESH_INTERVAL", AN_HOUR),
    ];
    all.extend(vars);
    let client = Client::new(&start(&all));
    prime(&client).await;
    has(&client, target, 0).await;
    client
}

/// Waits until the pool reports these numbers.
pub async fn has(client: &Client, warm: usize, assigned: usize) {
    eventually(&format!("{warm} warm and {assigned} assigned"), || async {
        let stats = stats(client).await;
        let expected = json!([warm, assigned, warm + assigned]);
        json!([stats["warm"], stats["assigned"], stats["total"]]) == expected
    })
    .await;
}

pub async fn stats(client: &Client) -> Value {
    let response = client
        .request(Method::GET, "/v1/pool/stats")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

pub async fn prime(client: &Client) {
    assert_eq!(post(client, "prime").await, json!({ "ok": true }));
}

async fn post(client: &Client, call: &str) -> Value {
    let response = client
        .request(Method::POST, &format!("/v1/pool/{call}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}
