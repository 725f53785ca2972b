//! The end of `sandboxd`: on SIGTERM or SIGINT it stops listening, ends every process, sends what is still to be
//! sent (the `exit` events of the commands that it ended), and returns.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::process::tree::Tree;

/// The longest that a shutdown takes.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// How long processes have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long the last responses may take, the grace included. The rest of [`DEADLINE`] is for the last sweep.
const LAST_RESPONSES: Duration = Duration::from_secs(4);

/// How much of a response waits in the kernel to be sent, in bytes. What waits there a slow client must read before it
/// sees how its command ended; the kernel's own choice is megabytes.
const UNSENT: u32 = 128 * 1024;

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

/// Serves `router` on `listener` until one of `signals` comes, then shuts down.
pub async fn serve_until(signals: Signals, listener: TcpListener, router: Router) -> io::Result<()> {
    let (stop_listening, stopped) = oneshot::channel::<()>();
    // Events are small and wait for nobody: without this, one would sit in the kernel until the last is acknowledged.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
        let _ = SockRef::from(&*connection).set_tcp_notsent_lowat(UNSENT);
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        served = &mut server => return served,
        () = signals.received() => {}
    }
    tracing::info!("shutting down");
    drop(stop_listening);
    let last_responses = async {
        let ended = spawn_blocking(|| Tree::everything().end(GRACE));
        let (_, _) = tokio::join!(server, ended);
    };
    if timeout(LAST_RESPONSES, last_responses).await.is_err() {
        tracing::warn!("not every response was read to its end");
    }
    // A request that was still coming in may have started a command after the others had ended.
    let _ = timeout(
        DEADLINE - LAST_RESPONSES,
        spawn_blocking(|| Tree::everything().kill()),
    )
    .await;
    Ok(())
}
