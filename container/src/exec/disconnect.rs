//! Detects early that a client has left, while other commands of its session wait.
//!
//! The runtime between a client and `sandboxd` notices that the client has left only when it writes
//! to it. On a silent stream that is the next keep-alive, seconds later; the session would be
//! blocked until then.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::event_log::EventLog;
use crate::session::Session;

/// The time between two comments to the client of a command that others wait for. After the first,
/// the client's machine answers that the connection is closed; the second fails.
const RUNNING_INTERVAL: Duration = Duration::from_millis(100);

/// The time between two comments to the client of a command that waits for its turn.
const WAITING_INTERVAL: Duration = Duration::from_secs(1);

/// Writes comments to the client of the running command of `session` for as long as others wait for
/// it. Never resolves.
pub async fn probe_running(session: Option<&Session>, log: &EventLog) -> Infallible {
    let Some(session) = session else {
        return std::future::pending().await;
    };
    loop {
        session.wait_until_contended().await;
        log.write_comment();
        sleep(RUNNING_INTERVAL).await;
    }
}

/// Writes comments to the client of a command that waits for its turn. Never resolves.
pub async fn probe_waiting(log: &EventLog) -> Infallible {
    loop {
        sleep(WAITING_INTERVAL).await;
        log.write_comment();
    }
}
