//! Connections to `sandbox-local`. Commands that share the machine's network can open connections
//! here, too. The number of unauthenticated connections is limited, and the oldest is
//! closed for a new one: they never use up the descriptors that sandboxes need.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{self, IncomingStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::sleep;

/// The maximum of unauthenticated connections at a time.
const MAX_UNAUTHENTICATED: usize = 256;
/// The pause after a failed accept: there may be no descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Accepts connections.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    /// The connections that were unauthenticated at the last check, and the notification that
    /// closes each; the oldest first.
    unauthenticated: VecDeque<(Weak<AtomicBool>, Arc<Notify>)>,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    proof: Proof,
    closed: Pin<Box<OwnedNotified>>,
}

/// Whether a connection is authenticated: a request on it has sent the secret.
#[derive(Debug, Clone)]
pub struct Proof(Arc<AtomicBool>);

impl Proof {
    /// Marks the connection as authenticated.
    pub fn record(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Listener {
    /// Accepts the connections of `inner`.
    pub fn new(inner: TcpListener) -> Self {
        Self {
            inner,
            unauthenticated: VecDeque::new(),
        }
    }

    /// Adds a connection, and closes another for it if necessary.
    fn admit(&mut self, stream: TcpStream) -> Connection {
        let is_unauthenticated = |proof: &Weak<AtomicBool>| {
            let proof = proof.upgrade();
            proof.is_some_and(|proof| !proof.load(Ordering::Relaxed))
        };
        self.unauthenticated
            .retain(|(proof, _)| is_unauthenticated(proof));
        if self.unauthenticated.len() >= MAX_UNAUTHENTICATED
            && let Some((_, close)) = self.unauthenticated.pop_front()
        {
            close.notify_one();
        }
        let (proof, close) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        self.unauthenticated
            .push_back((Arc::downgrade(&proof), Arc::clone(&close)));
        Connection {
            stream,
            proof: Proof(proof),
            closed: Box::pin(close.notified_owned()),
        }
    }
}

impl serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.inner.accept().await {
                Ok((stream, address)) => return (self.admit(stream), address),
                Err(e) => {
                    tracing::warn!("a connection could not be accepted: {e}");
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl Connected<IncomingStream<'_, Listener>> for Proof {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().proof.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
