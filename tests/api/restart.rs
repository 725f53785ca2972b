//! The Worker's side goes and comes back while a sandbox runs. On bridges of their own.

use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::eventually;

#[tokio::test]
async fn an_evicted_object_finds_its_running_sandbox() {
    let bridge = Bridge::start_evictable(&[]);
    let sandbox = Client::new(&bridge).create().await;
    sandbox.put("workspace/kept", "x").await;
    let boot = sandbox.boot_id().await;
    let ready = || bridge.log.count(&["\"ready\"", &boot]);
    assert_eq!(ready(), 1, "{}", bridge.log.text());

    bridge.evict().await;
    assert_eq!(sandbox.boot_id().await, boot);
    // An eviction has no log line. The new object logs one.
    assert_eq!(ready(), 2, "it was evicted: {}", bridge.log.text());
    assert_eq!(sandbox.sh("cat kept").await.text(), "x");
    assert_eq!(sandbox.destroy().await, 204);
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn a_restarted_worker_finds_its_running_sandboxes() {
    let (bridge, worker) = Bridge::start_restartable(&[]);
    let sandbox = Client::new(&bridge).create().await;
    let boot = sandbox.boot_id().await;
    let detached = json!({
        "argv": ["sh", "-c", "echo up; sleep 4; echo done > detached; sleep 600"], "detached": true
    });
    let mut events = sandbox.stream(&detached).await;
    events.next().await.unwrap().unwrap();

    let code = std::fs::read_to_string(&worker).unwrap();
    std::fs::write(&worker, format!("{code}\n// Restarted.\n")).unwrap();
    let rest = events.finish().await;
    assert!(rest.exit.is_none(), "no invented exit: {rest:?}");
    eventually("the Worker answers again", || async {
        let response = sandbox.request(reqwest::Method::GET, "/running").send().await;
        response.is_ok_and(|response| response.status() == 200)
    })
    .await;
    assert!(sandbox.running().await);
    assert_eq!(sandbox.boot_id().await, boot);
    eventually("what ran goes on", || async {
        sandbox.sh("cat detached").await.text() == "done\n"
    })
    .await;
    assert_eq!(sandbox.destroy().await, 204);
    assert!(!sandbox.running().await);
}
