//! The routes, and what every response carries.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body::{Frame, SizeHint};
use sandbox_protocol::Activity;
use sandbox_protocol::sandboxd::{self, Health};

use crate::activity::{Busy, Occupation, Tracker};
use crate::files::{self, Workspace};
use crate::pid1::Children;
use crate::process::{self, Processes};
use crate::{Config, Error};

/// The whole API of `sandboxd`. Fails when there is no workspace.
pub fn router(config: Config, children: Arc<Children>) -> io::Result<Router> {
    let tracker = Tracker::new();
    let boot_id = HeaderValue::from_str(&config.boot_id).unwrap_or(HeaderValue::from_static("invalid"));
    let owner = config.user.ids.as_ref().map(|ids| (ids.uid, ids.gid));
    let workspace = Workspace::open(&config.workspace, owner)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", config.workspace.display())))?;
    let processes = Processes::new(config, children, Arc::clone(&tracker));
    let commands = Router::new()
        .route(sandboxd::EXEC, post(process::exec))
        .with_state(Arc::new(processes));
    let router = Router::new()
        .merge(commands)
        .merge(files::router(Arc::new(workspace)))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&tracker),
            count_request,
        ))
        .route(sandboxd::HEALTH, get(health))
        .route(sandboxd::ACTIVITY, get(activity))
        .with_state(tracker)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::map_response_with_state(boot_id, name_boot));
    Ok(router)
}

async fn health() -> Json<Health> {
    Json(Health {
        ok: true,
        protocol_version: sandboxd::PROTOCOL_VERSION,
    })
}

async fn activity(State(tracker): State<Arc<Tracker>>) -> Json<Activity> {
    Json(tracker.activity())
}

async fn no_route(uri: Uri) -> Error {
    Error::NoRoute(uri.path().to_owned())
}

async fn wrong_method(method: Method, uri: Uri) -> Error {
    Error::Method(format!("{method} {}", uri.path()))
}

/// Clients see by the boot id that the container behind their sandbox was replaced.
async fn name_boot(State(boot_id): State<HeaderValue>, mut response: Response) -> Response {
    let name = HeaderName::from_static(sandboxd::BOOT_ID_HEADER);
    response.headers_mut().insert(name, boot_id);
    response
}

async fn count_request(State(tracker): State<Arc<Tracker>>, request: Request, next: Next) -> Response {
    let busy = tracker.begin(Occupation::Request);
    next.run(request)
        .await
        .map(|body| Body::new(CountedBody { body, _busy: busy }))
}

/// A response body that counts as a request until it has been sent, or given up.
struct CountedBody {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
