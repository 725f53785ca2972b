//! Connections: who may have one, for how long, and how large the head of a request may be.
//!
//! Every process in the sandbox can open a connection. A connection is
//! [`unauthenticated`](crate::unauthenticated) until it carries a request with the secret, and is
//! closed when that takes too long. An authenticated one may be idle for long: a request on its way
//! to a connection that is closed here is lost, so the other end should close it first. The number
//! of authenticated ones is limited; over that limit a request is answered with 503 and the
//! connection closed.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sandbox_protocol::{Limits, sandboxd};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tower_service::Service as _;

use crate::quota::{Permit, Quota};
use crate::secret::Secret;
use crate::unauthenticated::{Slot, Unauthenticated};
use crate::{Config, Error, input_timeout};

/// The most bytes of a response that wait in the kernel to be sent. A slow client must read those
/// before it sees how its command ended; the kernel's default is megabytes.
const MAX_UNSENT: u32 = 128 * 1024;

/// The silence after which TCP keepalive probes a connection. Three unanswered probes mean that the
/// other end is gone.
const KEEPALIVE_DELAY: Duration = Duration::from_secs(60);

/// How long an authenticated connection may be idle: longer than workerd keeps one for the Worker,
/// which is 90 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How many connections may wait in the kernel until they are accepted, as far as the kernel allows
/// it.
const BACKLOG: i32 = 4096;

/// hyper's default for the most header lines.
const HYPER_MAX_HEADERS: u64 = 100;

/// The pause when no connection can be accepted: most likely there are no descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Answers requests on connections.
#[derive(Debug)]
pub struct Server {
    router: Router,
    boot_id: HeaderValue,
    secret: Option<Secret>,
    limits: Limits,
    connections: Quota,
    unauthenticated: Unauthenticated,
    http: http1::Builder,
}

/// A connection.
#[derive(Debug)]
struct Connection {
    /// Held until a request has carried the secret.
    slot: Mutex<Option<Slot>>,
    /// Set from then on.
    connected: OnceLock<Connected>,
}

/// Counts as a connection. A request that upgrades its connection passes this on with it: the
/// server itself is done with the connection then.
#[derive(Debug, Clone)]
pub struct Connected {
    _permit: Arc<Permit>,
}

impl Server {
    /// A server that answers with `router` every request that carries the secret of `config`;
    /// without one, every request.
    pub fn new(router: Router, config: &Config) -> Arc<Self> {
        let limits = config.limits;
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT.max(header_timeout(&limits)))
            .max_header_size(number(limits.max_header_bytes.value));
        // Setting it makes hyper allocate for every request.
        if limits.max_headers.value != HYPER_MAX_HEADERS {
            http.max_headers(number(limits.max_headers.value));
        }
        Arc::new(Self {
            router,
            boot_id: HeaderValue::from_str(&config.boot_id).unwrap_or(HeaderValue::from_static("invalid")),
            secret: config.secret.clone(),
            limits,
            connections: Quota::new("connections", limits.max_connections),
            unauthenticated: Unauthenticated::new(
                limits.max_unauthenticated_connections,
                header_timeout(&limits),
            ),
            http,
        })
    }

    /// Accepts connections until `stop` resolves, then finishes the responses that are under way
    /// and returns.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        // Fails without an effect.
        let _ = SockRef::from(&listener).listen(BACKLOG);
        let (stopping, stopped) = watch::channel(());
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => self.spawn(stream, slot, &stopped),
                Err(e) if is_of_one_connection(&e) => {}
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept connections");
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
        drop((listener, stopped));
        let _ = stopping.send(());
        stopping.closed().await;
    }

    /// The next connection, once there is a slot for it.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, Slot)> {
        let (stream, _) = listener.accept().await?;
        // Events are small and must go out at once: without this, one would wait until the last is
        // acknowledged.
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(&stream);
        let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT);
        let alive = TcpKeepalive::new()
            .with_time(KEEPALIVE_DELAY)
            .with_interval(KEEPALIVE_DELAY / 4)
            .with_retries(3);
        let _ = socket.set_tcp_keepalive(&alive);
        Ok((stream, self.unauthenticated.slot().await))
    }

    fn spawn(self: &Arc<Self>, stream: TcpStream, slot: Slot, stopped: &watch::Receiver<()>) {
        let server = Arc::clone(self);
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let mut evicted = pin!(slot.evicted());
            let connection = Arc::new(Connection {
                slot: Mutex::new(Some(slot)),
                connected: OnceLock::new(),
            });
            let answer = {
                let (server, connection) = (Arc::clone(&server), Arc::clone(&connection));
                service_fn(move |request| {
                    let (server, connection) = (Arc::clone(&server), Arc::clone(&connection));
                    async move { Ok::<_, Infallible>(server.answer(&connection, request).await) }
                })
            };
            let http = server.http.serve_connection(TokioIo::new(stream), answer);
            let mut http = pin!(http.with_upgrades());
            let mut timeout = pin!(input_timeout::after_io(header_timeout(&server.limits)));
            let (mut is_late, mut is_stopping) = (false, false);
            loop {
                tokio::select! {
                    // First: the secret may arrive at the last moment.
                    biased;
                    // An error is the other end's: there is nobody to report it to.
                    _ = &mut http => break,
                    () = &mut evicted, if !is_late => is_late = true,
                    () = &mut timeout, if !is_late => is_late = true,
                    _ = stopped.changed(), if !is_stopping => {
                        is_stopping = true;
                        http.as_mut().graceful_shutdown();
                    }
                }
                if is_late && !connection.is_authenticated() {
                    break;
                }
            }
        });
    }

    async fn answer(&self, connection: &Connection, mut request: hyper::Request<Incoming>) -> Response {
        if let Some(secret) = &self.secret
            && let Err(unknown) = secret.check(request.headers())
        {
            return closing(unknown.into_response());
        }
        let is_first = !connection.is_authenticated();
        let is_head = request.method() == Method::HEAD;
        let mut response = match connection.authenticate(&self.connections) {
            Ok(connected) => {
                request.extensions_mut().insert(connected);
                let mut router = self.router.clone();
                let request: Request = request.map(Body::new);
                let call = |request: Request| async move {
                    let Ok(response) = router.call(request).await;
                    response
                };
                if sandboxd::is_of_server(request.uri().path()) {
                    // Its server decides how long a body may take.
                    call(request).await
                } else {
                    input_timeout::timed(request, self.limits.body_timeout_ms, call).await
                }
            }
            Err(full) => closing(full.into_response()),
        };
        if is_first && (is_head || has_no_body(&response)) {
            // workerd loses the next request on a connection whose first response has no body, if it
            // follows at once.
            response = closing(response);
        }
        // The boot id tells clients that the container behind their sandbox was replaced.
        let name = HeaderName::from_static(sandboxd::BOOT_ID_HEADER);
        response.headers_mut().insert(name, self.boot_id.clone());
        response
    }
}

impl Connection {
    fn is_authenticated(&self) -> bool {
        self.slot().is_none()
    }

    /// Counts the connection as one of `connections` once a request has carried the secret. Fails
    /// when there are too many.
    fn authenticate(&self, connections: &Quota) -> Result<Connected, Error> {
        if let Some(connected) = self.connected.get() {
            return Ok(connected.clone());
        }
        self.slot().take();
        let permit = Arc::new(connections.take()?);
        Ok(self
            .connected
            .get_or_init(|| Connected { _permit: permit })
            .clone())
    }

    fn slot(&self) -> MutexGuard<'_, Option<Slot>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a new connection has to send the secret.
fn header_timeout(limits: &Limits) -> Duration {
    Duration::from_millis(limits.header_timeout_ms.value)
}

/// The response after which the connection is closed.
fn closing(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Whether a response has an empty body, or none. False for an upgrade: its connection goes on.
fn has_no_body(response: &Response) -> bool {
    response.status() != StatusCode::SWITCHING_PROTOCOLS && response.body().size_hint().exact() == Some(0)
}

/// Whether an error of `accept` is about a single connection, lost before it was accepted.
fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
