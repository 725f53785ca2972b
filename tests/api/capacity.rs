//! The platform has no capacity for another sandbox. On bridges of their own, with a limit of
//! sandboxes.

use sandbar_tests::client::{assert_error, retry_after};
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::pool::{has, prime, stats};
use crate::{bridge, eventually};

/// Whether sandboxes can be limited here; reports it when a test is left out.
fn has_limit() -> bool {
    let limited = bridge().is_local;
    if !limited {
        eprintln!("skipped: nothing limits the sandboxes of this bridge");
    }
    limited
}

#[tokio::test]
async fn one_too_many_is_503_until_another_is_destroyed() {
    if !has_limit() {
        return;
    }
    let client = Client::new(&Bridge::start_limited("2", &[]));
    let (first, second, third) = (
        client.create().await,
        client.create().await,
        client.create().await,
    );
    assert_eq!(first.sh("true").await.code(), 0);
    assert_eq!(second.sh("true").await.code(), 0);
    for _ in 0..2 {
        let refused = third.exec_json(&json!({ "argv": ["true"] })).await;
        assert!((1..=3).contains(&retry_after(&refused)));
        assert_error(refused, 503, "capacity_exceeded").await;
    }
    assert!(!third.running().await);
    assert_eq!(first.sh("true").await.code(), 0, "those that run go on");

    assert_eq!(second.destroy().await, 204);
    assert_eq!(third.sh("echo room").await.text(), "room\n");
    let refused = second.exec_json(&json!({ "argv": ["true"] })).await;
    assert_error(refused, 503, "capacity_exceeded").await;
}

#[tokio::test]
async fn the_pool_learns_the_ceiling_and_makes_no_client_fail() {
    if !has_limit() {
        return;
    }
    let vars = [("WARM_POOL_TARGET", "5"), ("WARM_POOL_REFRESH_INTERVAL", "1s")];
    let client = Client::new(&Bridge::start_limited("3", &vars));
    prime(&client).await;
    has(&client, 3, 0).await;
    eventually("the ceiling is learned", || async {
        stats(&client).await["maxInstances"] == 3
    })
    .await;
    let sandbox = client.create().await;
    assert_eq!(sandbox.sh("echo warm").await.text(), "warm\n");
    has(&client, 2, 1).await;
    sandbox.destroy().await;
    has(&client, 3, 0).await;
}
