//! What breaks in use, broken on purpose: clients that leave, a `sandboxd` that is killed, requests in any order.

mod disconnects;
mod kills;
mod model;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sandbar_tests::{Bridge, Client, Sandbox};

/// The bridge that the tests share.
fn bridge() -> &'static Bridge {
    static BRIDGE: OnceLock<Bridge> = OnceLock::new();
    BRIDGE.get_or_init(Bridge::from_env)
}

fn client() -> Client {
    Client::new(bridge())
}

/// A new sandbox of the test's own.
async fn sandbox() -> Sandbox {
    client().create().await
}

/// Asks until the answer is yes, or fails with `what` after a bound that is generous: it only keeps a test from
/// hanging.
async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ask().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
