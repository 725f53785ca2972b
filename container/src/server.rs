//! Connections: who may have one, for how long, and how large the head of a request may be.
//!
//! Anybody in the sandbox can open a connection, so one counts for little until a request has come on it that shows the
//! secret. When there are many such unproven connections, the oldest makes room for the next, if it had time to show it:
//! whoever knows the secret shows it at once. One that does not show it in time is closed. One that has shown it may be idle for
//! long: a request that is on its way to a connection is lost when that is closed here, so the other end is to close it first.
//! All connections together are limited as well; over that limit a request is answered with 503 and the connection closed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{Limits, sandboxd};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tower_service::Service as _;

use crate::quota::{Permit, Quota};
use crate::secret::Secret;
use crate::{Config, body};

/// How much of a response waits in the kernel to be sent, in bytes. What waits there a slow client must read before it
/// sees how its command ended; the kernel's own choice is megabytes.
const UNSENT: u32 = 128 * 1024;

/// A connection whose other end is gone without a word is noticed after this silence and three unanswered questions.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a connection that has shown the secret may be idle: longer than the Worker keeps one, which workerd does for 90 s.
const IDLE: Duration = Duration::from_secs(300);

/// How many connections at a time are told that there are too many.
const REFUSALS: u64 = 64;

/// How many header lines hyper takes when it is not told otherwise.
const HYPERS_MAX_HEADERS: u64 = 100;

/// How long to wait when no connection can be accepted: there are no descriptors left, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers requests on connections.
#[derive(Debug)]
pub struct Server {
    router: Router,
    boot_id: HeaderValue,
    secret: Option<Secret>,
    limits: Limits,
    connections: Quota,
    refusals: Quota,
    unproven: Mutex<VecDeque<Arc<Connection>>>,
    http: http1::Builder,
}

/// A connection that may or may not have shown the secret.
#[derive(Debug)]
struct Connection {
    opened: Instant,
    is_proven: AtomicBool,
    is_over: AtomicBool,
    must_go: Notify,
}

/// Counts as a connection. A request that turns its connection into something else hands it on to that: the server
/// itself is done with the connection then.
#[derive(Debug, Clone)]
pub struct Connected {
    _permit: Arc<Permit>,
}

/// What becomes of the requests of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    /// They are answered.
    Served,
    /// They are told that there are too many connections.
    Refused,
}

impl Server {
    /// Answers with `router` whoever shows the secret of `config`; without one, anybody.
    pub fn new(router: Router, config: &Config) -> Arc<Self> {
        let limits = config.limits;
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(IDLE.max(header_timeout(&limits)))
            .max_header_size(number(limits.max_header_bytes.value));
        // Set, it makes hyper allocate for every request.
        if limits.max_headers.value != HYPERS_MAX_HEADERS {
            http.max_headers(number(limits.max_headers.value));
        }
        let refusals = Limit {
            value: REFUSALS,
            ..limits.max_connections
        };
        Arc::new(Self {
            router,
            boot_id: HeaderValue::from_str(&config.boot_id).unwrap_or(HeaderValue::from_static("invalid")),
            secret: config.secret.clone(),
            limits,
            connections: Quota::new("connections", limits.max_connections),
            refusals: Quota::new("connections", refusals),
            unproven: Mutex::default(),
            http,
        })
    }

    /// Accepts connections until `stop` resolves, then finishes the responses that are under way and returns.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(());
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.accept(stream, &stopped),
                Err(e) if is_of_one_connection(&e) => {}
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept connections");
                    sleep(PAUSE).await;
                }
            }
        }
        drop((listener, stopped));
        let _ = stopping.send(());
        stopping.closed().await;
    }

    fn accept(self: &Arc<Self>, stream: TcpStream, stopped: &watch::Receiver<()>) {
        // Events are small and wait for nobody: without this, one would sit in the kernel until the last is acknowledged.
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(&stream);
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        let alive = TcpKeepalive::new()
            .with_time(SILENCE)
            .with_interval(SILENCE / 4)
            .with_retries(3);
        let _ = socket.set_tcp_keepalive(&alive);

        if let Ok(permit) = self.connections.take() {
            self.spawn(stream, permit, Admission::Served, stopped);
        } else if let Ok(permit) = self.refusals.take() {
            self.spawn(stream, permit, Admission::Refused, stopped);
        }
        // Else it is closed without a word.
    }

    fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        permit: Permit,
        admission: Admission,
        stopped: &watch::Receiver<()>,
    ) {
        let connection = Arc::new(Connection {
            opened: Instant::now(),
            is_proven: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            must_go: Notify::new(),
        });
        self.admit(&connection);
        let server = Arc::clone(self);
        let mut stopped = stopped.clone();
        let connected = Connected {
            _permit: Arc::new(permit),
        };
        tokio::spawn(async move {
            let answer = {
                let (server, connection) = (Arc::clone(&server), Arc::clone(&connection));
                let connected = connected.clone();
                service_fn(move |mut request: hyper::Request<Incoming>| {
                    request.extensions_mut().insert(connected.clone());
                    let (server, connection) = (Arc::clone(&server), Arc::clone(&connection));
                    async move { Ok::<_, Infallible>(server.answer(&connection, admission, request).await) }
                })
            };
            let http = server.http.serve_connection(TokioIo::new(stream), answer);
            let mut http = pin!(http.with_upgrades());
            let mut patience = pin!(sleep(header_timeout(&server.limits)));
            let (mut is_late, mut is_stopping) = (false, false);
            loop {
                tokio::select! {
                    // An error is one of the other side: there is nobody to tell.
                    _ = &mut http => break,
                    () = connection.must_go.notified() => is_late = true,
                    () = &mut patience, if !is_late => is_late = true,
                    _ = stopped.changed(), if !is_stopping => {
                        is_stopping = true;
                        http.as_mut().graceful_shutdown();
                    }
                }
                // It may have shown the secret at the last moment.
                if is_late && !connection.is_proven.load(Relaxed) {
                    break;
                }
            }
            connection.is_over.store(true, Relaxed);
            drop(connected);
        });
    }

    /// Enters a new connection among the unproven; when they are too many, the oldest goes. But not a young one: of a
    /// thousand clients that come at once, the last waits until we get to read what it shows.
    fn admit(&self, connection: &Arc<Connection>) {
        let most = usize::try_from(self.limits.max_unproven_connections.value).unwrap_or(usize::MAX);
        let mut unproven = self.unproven.lock().unwrap_or_else(PoisonError::into_inner);
        if unproven.len() >= most {
            unproven.retain(|other| !other.is_proven.load(Relaxed) && !other.is_over.load(Relaxed));
        }
        let patience = header_timeout(&self.limits) / 3;
        if unproven.len() >= most
            && let Some(oldest) = unproven
                .front()
                .filter(|oldest| oldest.opened.elapsed() >= patience)
        {
            oldest.must_go.notify_one();
            unproven.pop_front();
        }
        unproven.push_back(Arc::clone(connection));
    }

    async fn answer(
        &self,
        connection: &Connection,
        admission: Admission,
        request: hyper::Request<Incoming>,
    ) -> Response {
        if let Some(secret) = &self.secret
            && let Err(unknown) = secret.check(request.headers())
        {
            return closing(unknown.into_response());
        }
        connection.is_proven.store(true, Relaxed);
        let mut response = match admission {
            Admission::Served => {
                let mut router = self.router.clone();
                let request: Request = request.map(Body::new);
                body::timed(request, self.limits.body_timeout_ms, |request| async move {
                    let Ok(response) = router.call(request).await;
                    response
                })
                .await
            }
            Admission::Refused => closing(self.connections.refusal().into_response()),
        };
        // Clients see by the boot id that the container behind their sandbox was replaced.
        let name = HeaderName::from_static(sandboxd::BOOT_ID_HEADER);
        response.headers_mut().insert(name, self.boot_id.clone());
        response
    }
}

/// How long a new connection has to show the secret.
fn header_timeout(limits: &Limits) -> Duration {
    Duration::from_millis(limits.header_timeout_ms.value)
}

/// The response after which the connection is closed: whoever gets it has no use for another.
fn closing(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Whether an error of accepting concerns that one connection, which has been lost again.
fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
