//! The end of `sandboxd`: on SIGTERM or SIGINT it stops listening, ends every process, unmounts
//! every bucket, sends the last responses (how the commands and terminals that it ended did end),
//! and returns.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::mount::Mounts;
use crate::process::tree::Tree;
use crate::pty::Terminals;
use crate::server::Server;
use crate::threads::PROCESSES;

/// The longest that a shutdown takes.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long processes have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long buckets may take to be unmounted. They usually are at once.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the last responses may take, the grace included. The rest of [`SHUTDOWN_TIMEOUT`] is
/// for the last sweep.
const RESPONSES_TIMEOUT: Duration = Duration::from_secs(4);

/// The signals that ask for a shutdown.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Handles the signals from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves on `listener` until one of `signals` comes, then shuts down.
pub async fn serve_until(
    signals: Signals,
    listener: TcpListener,
    server: Arc<Server>,
    terminals: &Terminals,
    mounts: &Mounts,
) {
    let (stop_listening, stopped) = oneshot::channel::<()>();
    let mut served = std::pin::pin!(server.serve(listener, async {
        let _ = stopped.await;
    }));
    tokio::select! {
        // It does not return before a signal comes.
        () = &mut served => return,
        () = signals.received() => {}
    }
    tracing::info!("shutting down");
    drop(stop_listening);
    let last_responses = async {
        // The files that a command has open in a bucket are written when it ends, so s3fs ends
        // after it.
        let mounted = mounts.processes();
        let ended = async {
            let _ = PROCESSES.run(|| Tree::everything_but(mounted).end(GRACE)).await;
            mounts.shut_down(UNMOUNT_TIMEOUT).await;
        };
        // The connections of terminals are no longer the server's.
        let ((), (), ()) = tokio::join!(served, ended, terminals.shut_down());
    };
    if timeout(RESPONSES_TIMEOUT, last_responses).await.is_err() {
        tracing::warn!("not every response was read to its end");
    }
    // A request that was still coming in may have started a command after the others had ended.
    let _ = timeout(
        SHUTDOWN_TIMEOUT - RESPONSES_TIMEOUT,
        PROCESSES.run(|| Tree::everything().kill()),
    )
    .await;
}
