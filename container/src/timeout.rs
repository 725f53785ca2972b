//! Timeouts for input from outside.

use std::time::Duration;

use tokio::time::sleep;

/// Long enough for tokio to ask the kernel for I/O once more.
const IO_GRACE: Duration = Duration::from_millis(25);

/// Resolves after `limit`. A process that was stopped, or whose container was frozen, sees its
/// expired timers before the input that has come meanwhile: so this resolves a little later, after
/// I/O.
pub async fn after_io(limit: Duration) {
    sleep(limit).await;
    sleep(IO_GRACE).await;
}
