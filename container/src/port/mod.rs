//! The servers of the sandbox: an HTTP proxy, raw TCP over a WebSocket, and what listens.
//!
//! All connect from inside the sandbox, so a server on 127.0.0.1 is reached and no port has to be
//! declared. [`proxy`] and [`tcp`] have no limit of size or time: each reads from one side only as
//! fast as the other side takes it. When one side leaves, the connection to the other is closed.

mod connect;
mod headers;
mod proxy;
mod request_body;
mod server_stream;
mod tcp;
mod visits;
pub mod wait;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{any, delete, get, post};
use axum::{Json, Router};
use sandbox_protocol::port::{MAX_BODY, PortWaitRequest, PortWaitResult, PortWaitState};
use sandbox_protocol::preview::VISITS;
use sandbox_protocol::{ServerPort, sandboxd};
use tokio::time::timeout;

use self::wait::until_ready;
use crate::activity::Tracker;
use crate::process_routes::ports;
use crate::quota::Buffers;
use crate::status::Sources;
use crate::threads::PROCESSES;
use crate::{Error, body, heartbeat};

pub use connect::connect;
pub use visits::Visits;

/// The state that the routes share.
#[derive(Debug)]
pub struct Ports {
    /// Tells which ports are listened on.
    pub sources: Arc<Sources>,
    /// Counts connections as activity.
    pub tracker: Arc<Tracker>,
    /// The memory for the bodies of waits.
    pub buffers: Buffers,
    /// The visits to exposed ports.
    pub visits: Visits,
}

/// The routes.
pub fn router<S: Clone + Send + Sync + 'static>(ports: Arc<Ports>) -> Router<S> {
    Router::new()
        .route(sandboxd::PORT_PATH, get(list))
        .route(&format!("{}/{{port}}", sandboxd::PORT_PATH), post(wait_for))
        .route(&format!("{}{{port}}", sandboxd::PROXY), any(proxy::proxy))
        .route(&format!("{}{{port}}/{{until}}", VISITS), delete(end_visits))
        .route(&format!("{}{{port}}", sandboxd::TCP), get(tcp::tcp))
        .with_state(ports)
}

/// `GET /port`: the ports on which processes of the sandbox listen.
async fn list(State(ports): State<Arc<Ports>>) -> Json<Vec<u16>> {
    Json(ports.sources.ports().await)
}

/// `DELETE /visits/{port}/{until}`: closes the connections of visitors.
async fn end_visits(
    State(ports): State<Arc<Ports>>,
    Path((port, until_ms)): Path<(String, u64)>,
) -> Result<StatusCode, Error> {
    ports.visits.end(ServerPort::parse(&port)?.get(), until_ms);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /port/{port}`: waits until a process listens on the port.
async fn wait_for(
    State(ports): State<Arc<Ports>>,
    Path(port): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let port = ServerPort::parse(&port)?.get();
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &ports.buffers).await?;
    let PortWaitRequest { http, timeout_ms } = PortWaitRequest::parse(&body)?;
    Ok(heartbeat::json(async move {
        // It fails when it panics.
        let is_listening = || async move {
            let listening = PROCESSES.run(move || ports::is_reachable(port));
            listening.await.unwrap_or_default()
        };
        let limit = timeout_ms.map_or(Duration::MAX, |limit: NonZeroU64| {
            Duration::from_millis(limit.get())
        });
        Ok(
            match timeout(limit, until_ready(port, &http, is_listening)).await {
                Ok(status) => PortWaitResult {
                    state: PortWaitState::Ready,
                    status,
                },
                Err(_) => PortWaitResult {
                    state: PortWaitState::TimedOut,
                    status: None,
                },
            },
        )
    })
    .await)
}
