//! `GET /resume`: what runs in the sandbox and is to run again after a sleep.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use sandbox_protocol::process::ProcessState;
use sandbox_protocol::sandboxd;
use sandbox_protocol::snapshot::Resume;

use crate::exec::Commands;
use crate::mount::Mounts;

/// Where it is found.
#[derive(Debug)]
pub struct Running {
    /// The processes.
    pub commands: Arc<Commands>,
    /// The mounts.
    pub mounts: Arc<Mounts>,
}

/// The route. Its answer has the credentials of the mounts.
pub fn router<S: Clone + Send + Sync + 'static>(running: Arc<Running>) -> Router<S> {
    Router::new()
        .route(sandboxd::RESUME, get(resume))
        .with_state(running)
}

/// The processes come in the order of their starts.
async fn resume(State(running): State<Arc<Running>>) -> Json<Resume> {
    let mut processes: Vec<_> = running
        .commands
        .registry
        .newest(None)
        .into_iter()
        .filter(|process| process.state() == ProcessState::Running)
        .filter_map(|process| process.restart().map(ToOwned::to_owned))
        .collect();
    processes.reverse();
    Json(Resume {
        mounts: running.mounts.requests(),
        processes,
    })
}
