//! Shared by the tests of one binary: a bridge, and waiting with a timeout.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::{Bridge, Client, Sandbox};

/// The bridge that the tests of this process share.
pub fn bridge() -> &'static Bridge {
    static BRIDGE: OnceLock<Bridge> = OnceLock::new();
    BRIDGE.get_or_init(Bridge::from_env)
}

/// A client of it.
pub fn client() -> Client {
    Client::new(bridge())
}

/// A new sandbox of the test's own. Its owner destroys it; one that a failed test leaves ends with
/// the bridge.
pub async fn sandbox() -> Sandbox {
    client().create().await
}

/// Asks until the answer is true. Fails with `what` after a generous timeout, which only keeps a
/// test from hanging.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ask().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
