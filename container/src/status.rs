//! `GET /status`, and `PUT /environment`: the parts of a sandbox's record that only `sandboxd` knows,
//! and the one that it is told.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use sandbox_protocol::sandbox::Status;
use sandbox_protocol::sandboxd;

use crate::activity::Tracker;
use crate::mount::Mounts;
use crate::process_routes::ports;
use crate::tunnel::Tunnels;
use crate::user::User;

/// The parts of `sandboxd` that have the status.
#[derive(Debug)]
pub struct Sources {
    /// The user of the commands, and their environment.
    pub user: User,
    /// The commands and requests that are under way.
    pub tracker: Arc<Tracker>,
    /// The mounts.
    pub mounts: Arc<Mounts>,
    /// The tunnels.
    pub tunnels: Arc<Tunnels>,
}

/// The routes.
pub fn router<S: Clone + Send + Sync + 'static>(sources: Arc<Sources>) -> Router<S> {
    Router::new()
        .route(sandboxd::STATUS, get(status))
        .route(sandboxd::ENVIRONMENT, put(set_environment))
        .with_state(sources)
}

impl Sources {
    /// The TCP ports on which processes of the sandbox listen, in ascending order.
    pub async fn ports(&self) -> Vec<u16> {
        let mut ports = ports::ports_of_sandbox(self.user.ids.clone()).await;
        let (_, own_ports) = self.tunnels.open_now();
        ports.retain(|port| !own_ports.contains(port));
        ports
    }
}

async fn status(State(sources): State<Arc<Sources>>) -> Json<Status> {
    Json(Status {
        idle_ms: sources.tracker.activity().idle_ms,
        ports: sources.ports().await,
        mounts: sources.mounts.paths(),
        tunnels: sources.tunnels.open_now().0,
    })
}

/// 204. Commands that run keep the variables that they were started with.
async fn set_environment(
    State(sources): State<Arc<Sources>>,
    Json(body): Json<sandboxd::Environment>,
) -> StatusCode {
    sources.user.env.set(body.env);
    StatusCode::NO_CONTENT
}
