//! `/proxy/{port}`: any request, for the HTTP server on a port, and its response.
//!
//! Each request has a connection of its own to the server. The connection ends with the response's
//! body, and so when the client leaves. After 101, the bytes of both sides are carried as they are.

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, StatusCode, Uri, Version};
use axum::response::Response;
use futures_util::future::{Either, select};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sandbox_protocol::preview::{VALIDITY_HEADER, Validity};
use sandbox_protocol::{Invalid, ServerPort, sandboxd};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::request_body::RequestBody;
use super::server_stream::ServerStream;
use super::{Ports, Visits, connect, headers};
use crate::Error;
use crate::activity::ActivityKind;
use crate::server::Connected;

/// How long one side of a WebSocket may go on when the other has ended: long enough for its answer
/// to a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers with the response of the server, or with an error that has the header
/// [`ERROR_HEADER`](sandbox_protocol::error::ERROR_HEADER).
pub(super) async fn proxy(
    State(ports): State<Arc<Ports>>,
    Path(port): Path<String>,
    connected: Option<Extension<Connected>>,
    request: Request,
) -> Response {
    exchange(&ports, &port, connected, request)
        .await
        .unwrap_or_else(Error::into_response_beside_server)
}

/// Sends the request to the server. Errors: 400; 404 for a visit by an exposure that is valid no
/// longer; 502 when there is no server, or when it does not answer with HTTP.
async fn exchange(
    ports: &Ports,
    port: &str,
    connected: Option<Extension<Connected>>,
    mut request: Request,
) -> Result<Response, Error> {
    let port = ServerPort::parse(port)?.get();
    let mut ended = ended(&ports.visits, port, request.headers())?;
    let is_websocket = headers::is_websocket(request.headers());
    let client = is_websocket.then(|| hyper::upgrade::on(&mut request));
    let request = to_server(request, port)?;
    let broken = |e: hyper::Error| {
        if e.is_user() {
            return Invalid::request("the request broke off").into();
        }
        Error::Port(format!("the server on port {port} did not answer: {}", cause(&e)))
    };
    let stream = TokioIo::new(ServerStream::new(connect(port).await?));
    let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
    let connection = Connection(tokio::spawn(async move {
        // An error of it is also that of the response.
        let _ = connection.with_upgrades().await;
    }));
    let mut response = tokio::select! {
        response = sender.send_request(request) => response.map_err(broken)?,
        () = &mut ended => return Err(Error::InvalidToken),
    };
    *response.version_mut() = Version::HTTP_11;
    let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    headers::to_client(response.headers_mut(), is_upgraded);
    if !is_upgraded {
        return Ok(response.map(|body| {
            Body::new(ResponseBody {
                body,
                ended,
                _connection: connection,
            })
        }));
    }
    let Some(client) = client else {
        return Err(Error::Port(format!(
            "the server on port {port} changed the protocol, which nobody asked for"
        )));
    };
    let server = hyper::upgrade::on(&mut response);
    let activity = ports.tracker.begin(ActivityKind::Request);
    tokio::spawn(async move {
        let _held = (connected, activity, connection);
        tokio::select! {
            () = carry(client, server) => {}
            () = ended => {}
        }
    });
    Ok(response.map(|_| Body::empty()))
}

/// The end of the exposure by which the client visits the port; it never ends for a client with the
/// key. Error: 404 when it has ended already.
fn ended(visits: &Visits, port: u16, headers: &HeaderMap) -> Result<Ended, Error> {
    let Some(validity) = headers.get(VALIDITY_HEADER) else {
        return Ok(Box::pin(pending()));
    };
    let validity = validity.to_str().ok().and_then(Validity::parse);
    let visit = validity.and_then(|validity| visits.begin(port, validity));
    Ok(Box::pin(visit.ok_or(Error::InvalidToken)?.ended()))
}

/// The request as the server gets it.
fn to_server(request: Request, port: u16) -> Result<hyper::Request<Body>, Error> {
    let (mut head, body) = request.into_parts();
    head.uri = target(&head)?;
    head.version = Version::HTTP_11;
    let body = Body::new(RequestBody::new(body, &head.headers));
    headers::to_server(&mut head.headers, port);
    head.extensions.clear();
    Ok(hyper::Request::from_parts(head, body))
}

/// The path and the query, as the Worker sends them.
fn target(head: &Parts) -> Result<Uri, Invalid> {
    let target = head.headers.get(sandboxd::TARGET_HEADER);
    let target = target.and_then(|target| PathAndQuery::try_from(target.as_bytes()).ok());
    target
        .filter(|target| target.as_str().starts_with('/'))
        .map(Uri::from)
        .ok_or_else(|| Invalid::request("the path must begin with / and be percent-encoded"))
}

/// The reason of an error of hyper.
fn cause(error: &hyper::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Carries the bytes of both sides until both have ended, or one for [`CLOSE_TIMEOUT`].
async fn carry(client: OnUpgrade, server: OnUpgrade) {
    // Fails when one of them is gone.
    let Ok((client, server)) = tokio::try_join!(client, server) else {
        return;
    };
    let (mut from_client, mut to_client) = split(TokioIo::new(client));
    let (mut from_server, mut to_server) = split(TokioIo::new(server));
    let up = pin!(forward(&mut from_client, &mut to_server));
    let down = pin!(forward(&mut from_server, &mut to_client));
    // Fails when the other side does not end.
    let _ = match select(up, down).await {
        Either::Left(((), down)) => timeout(CLOSE_TIMEOUT, down).await,
        Either::Right(((), up)) => timeout(CLOSE_TIMEOUT, up).await,
    };
}

/// Forwards bytes to their end, and the end with them.
async fn forward(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    // Fails when either side is gone.
    let _ = copy(from, to).await;
    let _ = to.shutdown().await;
}

/// The task of a connection, which ends when this is dropped.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns at the end of an exposure.
type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of a response, and its connection. It breaks off at the end of the exposure.
struct ResponseBody {
    body: Incoming,
    ended: Ended,
    _connection: Connection,
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("the port is no longer exposed".into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
