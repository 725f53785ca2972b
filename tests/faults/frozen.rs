//! `sandboxd` is stopped for longer than any of its timeouts: every request that waited for it is
//! answered.

use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::stream;
use reqwest::Method;
use rustix::process::Signal;
use sandbar_tests::kill::signal_sandboxd;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

/// Longer than both timeouts below.
const FROZEN: Duration = Duration::from_secs(2);
/// How many requests of each kind wait.
const REQUESTS: usize = 4;
const BODY: usize = 1 << 20;

#[tokio::test]
async fn requests_that_wait_for_a_frozen_sandboxd_are_answered() {
    let vars = [
        ("SANDBOX_HEADER_TIMEOUT_MS", "500"),
        ("SANDBOX_BODY_TIMEOUT_MS", "500"),
    ];
    let bridge = Bridge::start(&vars);
    if !bridge.is_local && !bridge.has_containers {
        return;
    }
    let sandbox = Client::new(&bridge).create().await;
    assert_eq!(
        sandbox.put("workspace/read", vec![b'r'; BODY]).await.status(),
        200
    );
    let boot = sandbox.boot_id().await;
    let freeze = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        signal_sandboxd(&boot, Signal::STOP);
        tokio::time::sleep(FROZEN).await;
        signal_sandboxd(&boot, Signal::CONT);
    };
    // Some begin before, and go on meanwhile; the others begin meanwhile, on new connections.
    let puts = join_all((0..REQUESTS).map(|n| {
        let sandbox = &sandbox;
        async move {
            let parts = stream::unfold(0, move |part| async move {
                tokio::time::sleep(Duration::from_millis(20 * n as u64)).await;
                (part < 4).then(|| (Ok::<_, std::io::Error>(vec![b'w'; BODY / 4]), part + 1))
            });
            let put = sandbox
                .request(Method::PUT, &format!("/file/workspace/write{n}"))
                .header("content-length", BODY)
                .body(reqwest::Body::wrap_stream(parts));
            put.send().await.unwrap().status().as_u16()
        }
    }));
    let others = join_all((0..REQUESTS).map(|n| {
        let sandbox = &sandbox;
        async move {
            tokio::time::sleep(Duration::from_millis(100 * n as u64)).await;
            let exec = async {
                sandbox
                    .exec_json(&json!({ "argv": ["true"] }))
                    .await
                    .status()
                    .as_u16()
            };
            let read = async { sandbox.get("workspace/read").await.status().as_u16() };
            let put = async {
                let put = sandbox
                    .put(&format!("workspace/whole{n}"), vec![b'w'; BODY])
                    .await;
                put.status().as_u16()
            };
            let ((exec, read), put) = join(join(exec, read), put).await;
            [exec, read, put]
        }
    }));
    let ((puts, others), ()) = join(join(puts, others), freeze).await;
    assert_eq!(puts, [200; REQUESTS]);
    assert_eq!(others, [[200; 3]; REQUESTS]);
    assert_eq!(sandbox.boot_id().await, boot);
    let size = sandbox.sh("cat write* whole* | wc -c").await.text();
    assert_eq!(size.trim(), (2 * REQUESTS * BODY).to_string());
    assert_eq!(sandbox.destroy().await, 204);
}
