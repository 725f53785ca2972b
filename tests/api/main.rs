//! The API as its clients see it: real workerd, real sandboxd, real processes.

mod auth;
mod bad_input;
mod binding;
mod bucket;
mod capacity;
mod clients;
mod config;
mod container;
mod exec;
mod exec_end;
mod exec_stream;
mod explorer;
mod file;
mod file_bad;
mod guide;
mod lifecycle;
mod mount;
mod mounted;
mod mounted_alone;
mod mounted_binding;
mod mounted_end;
mod mounted_proxy;
mod mounted_token;
mod openapi;
mod pool;
mod properties;
mod pty;
mod pty_end;
mod quickstart;
mod restart;
mod routes;
mod security;
mod session;
mod sleep;
mod tunnel;
mod tunnel_named;
mod workspace;
mod workspace_bad;

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

/// A new sandbox of the test's own. Its owner destroys it; one that a failed test leaves ends with the bridge.
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
