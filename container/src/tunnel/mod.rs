//! Tunnels: ports of the sandbox under public addresses, by Cloudflare's `cloudflared`.
//!
//! # Theory of operation
//!
//! One `cloudflared` runs for each tunnel. From its start a [`connector`] owns it, a task that
//! reads its output ([`log`]), asks it whether it is connected ([`metrics`]), and ends it when the
//! tunnel is closed. All others see the connector's [`Phase`]. A caller that leaves changes
//! nothing: the tunnel opens all the same, and the next caller gets it.
//!
//! `cloudflared` runs as the user of `sandboxd`, never as the commands' user, whose processes could
//! otherwise read the token of a named tunnel in its environment.

pub mod connector;
pub mod log;
pub mod metrics;
pub mod program;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use sandbox_protocol::tunnel::{MAX_BODY, NamedTunnel, OpenTunnel, TunnelName, conflict};
use sandbox_protocol::{Invalid, Port, Tunnel, sandboxd};
use serde::Deserialize;
use tokio::sync::{oneshot, watch};

use self::connector::{Phase, Plan};
use self::metrics::Traffic;
use crate::process::children::Children;
use crate::process::listeners::listeners;
use crate::quota::{Buffers, Quota};
use crate::threads::{PATHS, PROCESSES};
use crate::{Config, Error, body};

/// The tunnels of a sandbox.
#[derive(Debug)]
pub struct Tunnels {
    /// The environment of `cloudflared`.
    env: BTreeMap<OsString, OsString>,
    cloudflared: Option<PathBuf>,
    /// The prefix of the cookies of its processes.
    instance: String,
    last: AtomicU64,
    children: Arc<Children>,
    buffers: Buffers,
    quota: Quota,
    /// Held while a tunnel is started.
    starting: Mutex<()>,
    open: Mutex<HashMap<Port, Handle>>,
}

/// A handle to a connector. It closes the tunnel when it is dropped.
#[derive(Debug)]
struct Handle {
    name: Option<TunnelName>,
    phase: watch::Receiver<Phase>,
    /// Dropping it closes the tunnel.
    _close: oneshot::Sender<()>,
    /// The number of requests at the last check.
    seen: u64,
}

impl Tunnels {
    /// No tunnels yet. Their processes will be registered in `children`; the bodies of requests are
    /// held in `buffers`.
    pub fn new(config: &Config, children: Arc<Children>, buffers: Buffers) -> Self {
        Self {
            env: config.user.env.image().clone(),
            cloudflared: config.cloudflared.clone(),
            instance: config.instance.clone(),
            last: AtomicU64::new(0),
            children,
            buffers,
            quota: Quota::new("tunnels", config.limits.max_tunnels),
            starting: Mutex::default(),
            open: Mutex::default(),
        }
    }

    /// The tunnels that are open, and the ports on which their `cloudflared` listen.
    pub fn open_now(&self) -> (Vec<Tunnel>, Vec<u16>) {
        let handles = self.handles();
        let open = handles
            .values()
            .filter_map(|handle| match &*handle.phase.borrow() {
                Phase::Open { tunnel, metrics } => Some((tunnel.clone(), metrics.port())),
                Phase::Starting | Phase::Closed(_) => None,
            });
        open.unzip()
    }

    /// The tunnel that leads to `port`, once it is open, if there is one.
    async fn find(&self, port: Port) -> Option<Tunnel> {
        let phase = self.handles().get(&port)?.phase.clone();
        opened(phase).await.ok()
    }

    /// Opens a tunnel to `port`, unless one is open. Fails when that one has another name, or when
    /// it cannot be opened.
    async fn open(self: &Arc<Self>, port: Port, named: Option<NamedTunnel>) -> Result<Tunnel, Error> {
        let name = named.as_ref().map(|named| &named.name);
        let phase = match self.existing(port, name)? {
            Some(phase) => phase,
            None => {
                let tunnels = Arc::clone(self);
                let started = PATHS.run(move || tunnels.start(port, named)).await;
                started.unwrap_or_else(|e| Err(Error::Tunnel(e.to_string())))?
            }
        };
        opened(phase).await.map_err(Error::Tunnel)
    }

    /// The tunnel that leads to `port`, if there is one. Fails when it has another name.
    fn existing(
        &self,
        port: Port,
        name: Option<&TunnelName>,
    ) -> Result<Option<watch::Receiver<Phase>>, Error> {
        let mut handles = self.handles();
        handles.retain(|_, handle| !handle.phase.borrow().is_closed());
        match handles.get(&port) {
            Some(handle) if handle.name.as_ref() == name => Ok(Some(handle.phase.clone())),
            Some(handle) => Err(Error::Tunnel(conflict(port, handle.name.as_ref()))),
            None => Ok(None),
        }
    }

    /// Starts a tunnel to `port`, unless one was started meanwhile. Blocks, and blocks other calls.
    fn start(&self, port: Port, named: Option<NamedTunnel>) -> Result<watch::Receiver<Phase>, Error> {
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let name = named.as_ref().map(|named| named.name.clone());
        if let Some(phase) = self.existing(port, name.as_ref())? {
            return Ok(phase);
        }
        let permit = self.quota.take()?;
        let number = self.last.fetch_add(1, Relaxed) + 1;
        let plan = Plan {
            file: program::find(self.cloudflared.as_deref()).map_err(Error::Tunnel)?,
            base_env: &self.env,
            cookie: format!("{}.tunnel.{number}", self.instance),
            port,
            named,
        };
        let (phase, close) = plan
            .start(Arc::clone(&self.children), permit)
            .map_err(|e| Error::Tunnel(format!("cloudflared could not be started: {e}")))?;
        let handle = Handle {
            name,
            phase: phase.clone(),
            _close: close,
            seen: 0,
        };
        self.handles().insert(port, handle);
        Ok(phase)
    }

    /// Closes the tunnel to `port`, if there is one, and waits until nothing of it is left.
    async fn close(&self, port: Port) {
        let handle = self.handles().remove(&port);
        if let Some(Handle {
            mut phase, _close, ..
        }) = handle
        {
            drop(_close);
            // Fails when the connector is gone.
            let _ = phase.wait_for(Phase::is_closed).await;
        }
    }

    /// Whether a request has come through a tunnel since the last call, or is being answered.
    pub async fn had_visitors(&self) -> bool {
        let open: Vec<_> = self
            .handles()
            .iter()
            .filter_map(|(port, handle)| match &*handle.phase.borrow() {
                Phase::Open { tunnel, metrics } => Some((*port, tunnel.id.clone(), *metrics)),
                _ => None,
            })
            .collect();
        let asked = open.into_iter().map(async |(port, id, metrics)| {
            let traffic = metrics::traffic(metrics).await;
            traffic.is_some_and(|traffic| self.has_new_traffic(port, &id, traffic))
        });
        join_all(asked).await.contains(&true)
    }

    fn has_new_traffic(&self, port: Port, id: &str, traffic: Traffic) -> bool {
        let mut handles = self.handles();
        // The port may have got another tunnel meanwhile.
        let same = |handle: &&mut Handle| matches!(&*handle.phase.borrow(), Phase::Open { tunnel, .. } if tunnel.id == id);
        let Some(handle) = handles.get_mut(&port).filter(same) else {
            return true;
        };
        let more = traffic.total > handle.seen;
        handle.seen = traffic.total;
        more || traffic.concurrent > 0
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<Port, Handle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a tunnel is open; the error says why it is not.
async fn opened(mut phase: watch::Receiver<Phase>) -> Result<Tunnel, String> {
    let phase = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await;
    match phase.as_deref() {
        Ok(Phase::Open { tunnel, .. }) => Ok(tunnel.clone()),
        Ok(Phase::Closed(reason)) => Err(reason.clone()),
        // The connector always reports its end, unless the runtime stops.
        Ok(Phase::Starting) | Err(_) => Err("the sandbox is shutting down".into()),
    }
}

/// Serves [`sandboxd::TUNNEL`].
pub fn router<S: Clone + Send + Sync + 'static>(tunnels: Arc<Tunnels>) -> Router<S> {
    Router::new()
        .route(
            &format!("{}{{port}}", sandboxd::TUNNEL),
            get(find).post(open).delete(close),
        )
        .with_state(tunnels)
}

/// The query of a caller that is about to prepare a named tunnel.
#[derive(Deserialize)]
struct Wanted {
    name: TunnelName,
}

/// Fails when the port has a tunnel with another name, or when there is no program to open one.
async fn find(
    State(tunnels): State<Arc<Tunnels>>,
    Path(port): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let port = Port::parse(&port)?;
    match tunnels.find(port).await {
        Some(tunnel) if tunnel.name.as_ref() == Some(&wanted.name) => {
            Ok(Json(with_listening(tunnel).await).into_response())
        }
        Some(tunnel) => Err(Error::Tunnel(conflict(port, tunnel.name.as_ref()))),
        None => {
            let configured = tunnels.cloudflared.clone();
            let found = PATHS.run(move || program::find(configured.as_deref())).await;
            found
                .unwrap_or_else(|e| Err(e.to_string()))
                .map_err(Error::Tunnel)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

async fn open(
    State(tunnels): State<Arc<Tunnels>>,
    Path(port): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Tunnel>, Error> {
    let port = Port::parse(&port)?;
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &tunnels.buffers).await?;
    let open: OpenTunnel =
        serde_json::from_slice(&body).map_err(|e| Invalid::request(format!("Invalid JSON body: {e}")))?;
    let tunnel = tunnels.open(port, open.named).await?;
    Ok(Json(with_listening(tunnel).await))
}

/// The tunnel with the information whether something listens on its port. A server may start after
/// its tunnel, so it is no error when nothing does.
async fn with_listening(tunnel: Tunnel) -> Tunnel {
    let port = tunnel.port.get();
    let is_listening = PROCESSES.run(move || listeners().values().any(|listening| *listening == port));
    Tunnel {
        listening: is_listening.await.ok(),
        ..tunnel
    }
}

async fn close(State(tunnels): State<Arc<Tunnels>>, Path(port): Path<String>) -> Result<StatusCode, Error> {
    tunnels.close(Port::parse(&port)?).await;
    Ok(StatusCode::NO_CONTENT)
}
