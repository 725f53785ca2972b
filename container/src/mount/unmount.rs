//! Unmounting, step by step.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::time::{Instant, sleep, timeout};

use super::point::Point;
use super::registry::Mounted;
use crate::process::shell_error::os_message;
use crate::threads::PATHS;

/// How long an unmount waits for a busy mount: a file that was just closed keeps it busy for a
/// short time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval between two attempts to unmount.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How long the kernel may take to unmount, before s3fs is killed.
const DETACH_TIMEOUT: Duration = Duration::from_secs(10);

/// Unmounts a mount from its directory. The error is the reason, for the client.
pub(super) async fn detach(mounted: &Mounted) -> Result<(), String> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    while !mounted.daemon.has_ended() {
        let point = Arc::clone(&mounted.point);
        let Ok(detached) = timeout(DETACH_TIMEOUT, PATHS.run(move || point.detach())).await else {
            // s3fs does not respond to the kernel.
            mounted.daemon.kill();
            mounted.daemon.ended().await;
            break;
        };
        match detached.unwrap_or(Err(Errno::IO)) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < deadline => sleep(RETRY_INTERVAL).await,
            Err(Errno::BUSY) => {
                return Err("it is busy: a process works in it, or has a file of it open".into());
            }
            // Nothing is mounted there: somebody in the sandbox unmounted it.
            Err(Errno::INVAL) => return Ok(()),
            Err(e) => return Err(os_message(&e.into())),
        }
    }
    match detach_lazily(&mounted.point).await {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(e) => Err(os_message(&e.into())),
    }
}

async fn detach_lazily(point: &Arc<Point>) -> Result<(), Errno> {
    let point = Arc::clone(point);
    // It fails only when it panics.
    PATHS
        .run(move || point.detach_lazily())
        .await
        .unwrap_or(Err(Errno::IO))
}

/// Waits until the s3fs of an unmounted bucket has ended, and removes the mount's directory.
pub(super) async fn end(mounted: Mounted, limit: Duration) {
    let Mounted {
        point,
        daemon,
        permit,
        request: _,
    } = mounted;
    daemon.end(limit).await;
    remove(point).await;
    drop(permit);
}

/// Unmounts these mounts, busy ones too, and ends them within `limit`.
pub(super) async fn end_all(mounts: Vec<Mounted>, limit: Duration) {
    for mounted in &mounts {
        if let Err(e) = detach_lazily(&mounted.point).await {
            tracing::warn!(error = %e, "cannot unmount a bucket");
        }
    }
    // All of them are ending now.
    let deadline = Instant::now() + limit;
    for mounted in mounts {
        end(mounted, deadline.saturating_duration_since(Instant::now())).await;
    }
}

/// Removes the directories that were made for a mount.
pub(super) async fn remove(point: Arc<Point>) {
    // It blocks. It fails only when it panics.
    let _ = PATHS.run(move || drop(point)).await;
}
