//! The HTTP API for Sandbox objects: the calls that [`sandbox_protocol::local`] lists.

use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use sandbox_protocol::local::{Start, Status};
use sandbox_protocol::{Invalid, SandboxId};
use serde::Deserialize;

use crate::Error;
use crate::connections::Proof;
use crate::runtime::Runtime;

/// Answers the calls below `/{secret}`; all other paths are 404. Must be served with the [`Proof`]
/// of each connection.
pub fn router(runtime: Arc<Runtime>, secret: &str) -> Router {
    let calls = Router::new()
        .route("/sandbox/{id}", get(status).post(start).delete(destroy))
        .route("/sandbox/{id}/exit", get(exit))
        .route("/sandbox/{id}/stop", post(stop))
        .method_not_allowed_fallback(async || Error::Method)
        .layer(from_fn(record_proof));
    Router::new()
        .nest(&format!("/{secret}"), calls)
        .fallback(async || Error::NoRoute)
        .with_state(runtime)
}

/// Marks the connection of a request that has sent the secret as authenticated.
async fn record_proof(ConnectInfo(proof): ConnectInfo<Proof>, request: Request, next: Next) -> Response {
    proof.record();
    next.run(request).await
}

/// The sandbox that a path names.
struct Id(SandboxId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|e| Invalid::request(e.body_text()))?;
        Ok(Self(SandboxId::parse(&id)?))
    }
}

async fn start(State(runtime): State<Arc<Runtime>>, Id(id): Id, body: String) -> Result<Json<Status>, Error> {
    let start: Start = serde_json::from_str(&body).map_err(|e| Invalid::request(e.to_string()))?;
    runtime.start(&id, start).await.map(Json)
}

async fn status(State(runtime): State<Arc<Runtime>>, Id(id): Id) -> Json<Status> {
    Json(runtime.status(&id))
}

#[derive(Deserialize)]
struct ExitQuery {
    boot: String,
}

async fn exit(
    State(runtime): State<Arc<Runtime>>,
    Id(id): Id,
    query: Result<Query<ExitQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Status>, Error> {
    let Query(ExitQuery { boot }) = query.map_err(|e| Invalid::request(e.body_text()))?;
    Ok(Json(runtime.exit(&id, &boot).await))
}

async fn stop(State(runtime): State<Arc<Runtime>>, Id(id): Id) -> StatusCode {
    runtime.stop(&id);
    StatusCode::NO_CONTENT
}

async fn destroy(State(runtime): State<Arc<Runtime>>, Id(id): Id) -> StatusCode {
    runtime.destroy(&id).await;
    StatusCode::NO_CONTENT
}
