//! `POST /session` and `DELETE /session/{sid}`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{delete, post};
use axum::{Json, Router};
use sandbox_protocol::session::{MAX_BODY, SessionCreated, SessionDeleted};
use sandbox_protocol::{CreateSession, SessionId, sandboxd};

use super::Sessions;
use crate::random::random_id;
use crate::{Error, body};

/// Makes and deletes `sessions`.
///
/// | request | answer |
/// | --- | --- |
/// | `POST` a [`CreateSession`] | 200 [`SessionCreated`], also when it exists; 409 when made from other parameters |
/// | `DELETE` | 200 [`SessionDeleted`] when its running command has ended; 404; 502 for the default session |
pub fn router<S: Clone + Send + Sync + 'static>(sessions: Arc<Sessions>) -> Router<S> {
    Router::new()
        .route(sandboxd::SESSION, post(create_session))
        .route(&format!("{}/{{sid}}", sandboxd::SESSION), delete(delete_session))
        .with_state(sessions)
}

async fn create_session(
    State(sessions): State<Arc<Sessions>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SessionCreated>, Error> {
    let (body, _buffer_permit) = body::read(&headers, body, MAX_BODY, &sessions.buffers).await?;
    let request = CreateSession::parse(&body)?;
    let id = match request.id {
        Some(id) => id,
        None => SessionId::parse(&random_id().map_err(|e| Error::Session(e.to_string()))?)?,
    };
    sessions.create(&id, &request.start).await?;
    Ok(Json(SessionCreated { id: id.to_string() }))
}

async fn delete_session(
    State(sessions): State<Arc<Sessions>>,
    Path(id): Path<String>,
) -> Result<Json<SessionDeleted>, Error> {
    let id = SessionId::parse(&id)?;
    sessions.delete(&id).await?;
    Ok(Json(SessionDeleted {
        success: true,
        session_id: id.to_string(),
    }))
}
