//! Detects early that a client has left, while other commands of its session wait.
//!
//! The runtime between a client and `sandboxd` notices that the client has left only when it writes
//! to it. On a silent stream that is the next keep-alive, seconds later; the session would be
//! blocked until then.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use sandbox_protocol::event::KEEP_ALIVE;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use crate::session::Session;

/// The time between two comments to the client of a command that others wait for. After the first,
/// the client's machine answers that the connection is closed; the second fails.
const RUNNING_INTERVAL: Duration = Duration::from_millis(100);

/// The time between two comments to the client of a command that waits for its turn.
const WAITING_INTERVAL: Duration = Duration::from_secs(1);

/// Writes comments to the client of the running command of `session` for as long as others wait for
/// it. Never resolves.
pub async fn probe_running(session: Option<&Session>, events: &Sender<Bytes>) -> Infallible {
    let Some(session) = session else {
        return std::future::pending().await;
    };
    loop {
        session.wait_until_contended().await;
        write_comment(events);
        sleep(RUNNING_INTERVAL).await;
    }
}

/// Writes comments to the client of a command that waits for its turn. Never resolves.
pub async fn probe_waiting(events: &Sender<Bytes>) -> Infallible {
    loop {
        sleep(WAITING_INTERVAL).await;
        write_comment(events);
    }
}

fn write_comment(events: &Sender<Bytes>) {
    // A full channel has something to write already, and a closed one has no client.
    let _ = events.try_send(Bytes::from_static(KEEP_ALIVE.as_bytes()));
}
