//! Sandboxes come and go.

use futures_util::future::join_all;
use reqwest::Method;
use sandbar_tests::client::assert_error;
use serde_json::json;

use crate::{bridge, client, eventually, sandbox};

#[tokio::test]
async fn running_is_true_only_while_it_runs_and_starts_nothing() {
    let sandbox = sandbox().await;
    assert!(!sandbox.running().await);
    assert!(!sandbox.running().await, "asking starts nothing");
    assert_eq!(sandbox.sh("true").await.code(), 0);
    assert!(sandbox.running().await);
    assert_eq!(sandbox.destroy().await, 204);
    assert!(!sandbox.running().await);
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn delete_is_204_always_and_starts_nothing() {
    let sandbox = sandbox().await;
    for _ in 0..2 {
        let response = sandbox.request(reqwest::Method::DELETE, "").send().await.unwrap();
        assert_eq!(response.status(), 204);
        assert!(response.bytes().await.unwrap().is_empty());
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn what_only_ends_something_starts_nothing() {
    let sandbox = sandbox().await;
    for round in ["never started", "destroyed"] {
        let delete = async |rest: &str| sandbox.request(Method::DELETE, rest).send().await.unwrap();
        let text = assert_error(delete("/session/s").await, 404, "session_not_found").await;
        assert_eq!(text, "there is no session s");
        assert_error(delete("/session/default").await, 502, "session_error").await;
        let unmount = sandbox.post("/unmount", &json!({ "mountPath": "/mnt/a" })).await;
        let text = assert_error(unmount, 502, "unmount_error").await;
        assert_eq!(text, "unmount failed: no bucket is mounted at /mnt/a");
        assert_eq!(delete("/tunnel/8080").await.status(), 204);
        assert!(!sandbox.running().await, "{round}");
        if !bridge().log.text().is_empty() {
            // The log comes some milliseconds after the answer.
            let expected = usize::from(round == "destroyed");
            let starts = || bridge().log.count(&["\"start\"", &sandbox.id]);
            eventually("the starts are those of the log", async || starts() == expected).await;
        }
        sandbox.post("/session", &json!({ "id": "s" })).await;
        assert_eq!(delete("/session/s").await.status(), 200, "one that runs is asked");
        sandbox.destroy().await;
    }
}

#[tokio::test]
async fn a_deleted_sandbox_comes_back_empty() {
    let sandbox = sandbox().await;
    sandbox.put("workspace/f", "x").await;
    let boot = sandbox.boot_id().await;
    assert_eq!(sandbox.boot_id().await, boot, "one boot until it ends");
    sandbox.destroy().await;
    assert_eq!(sandbox.get("workspace/f").await.status(), 404);
    assert_ne!(sandbox.boot_id().await, boot);
    sandbox.destroy().await;
}

#[tokio::test]
async fn sandboxes_are_apart() {
    let (a, b) = (sandbox().await, sandbox().await);
    a.put("workspace/f", "a").await;
    assert_eq!(b.get("workspace/f").await.status(), 404);
    a.sh("echo x > /tmp/f; echo x > ~/f").await;
    assert_eq!(b.sh("cat /tmp/f ~/f").await.stdout, b"");
    a.destroy().await;
    assert!(b.running().await, "deleting one leaves the other");
    b.destroy().await;
}

#[tokio::test]
async fn a_hundred_first_requests_share_one_start() {
    let sandbox = sandbox().await;
    let boots = join_all((0..100).map(|_| sandbox.boot_id())).await;
    assert!(boots.iter().all(|boot| *boot == boots[0]), "{boots:?}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn twenty_sandboxes_at_once_all_work() {
    let client = client();
    let results = join_all((0..20).map(|i| {
        let client = client.clone();
        async move {
            let sandbox = client.create().await;
            let text = sandbox
                .exec(&json!({ "argv": ["echo", i.to_string()] }))
                .await
                .text();
            assert_eq!(sandbox.destroy().await, 204);
            (text, format!("{i}\n"))
        }
    }))
    .await;
    assert!(
        results.iter().all(|(got, expected)| got == expected),
        "{results:?}"
    );
}

#[tokio::test]
async fn delete_while_it_starts_is_204_and_the_id_works_on() {
    for _ in 0..5 {
        let sandbox = sandbox().await;
        let starting = tokio::spawn({
            let sandbox = sandbox.clone();
            async move {
                sandbox
                    .exec_json(&json!({ "argv": ["true"] }))
                    .await
                    .status()
                    .as_u16()
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert_eq!(sandbox.destroy().await, 204);
        let status = starting.await.unwrap();
        assert!(matches!(status, 200 | 502 | 503), "{status}");
        assert_eq!(sandbox.sh("echo back").await.text(), "back\n");
        sandbox.destroy().await;
    }
}
