//! The routes.

use std::io;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use sandbox_protocol::Activity;
use sandbox_protocol::sandboxd::{self, Health};

use crate::activity::{ActivityKind, Tracker};
use crate::body;
use crate::code::{self, Contexts};
use crate::exec::{self, Commands};
use crate::files::{self, Workspace};
use crate::git;
use crate::mount::{self, Mounts};
use crate::port::{self, Ports, Visits};
use crate::process::children::Children;
use crate::process_routes;
use crate::pty::{self, Terminals};
use crate::quota::Buffers;
use crate::resume::{self, Running};
use crate::session::{self, Sessions};
use crate::status::{self, Sources};
use crate::tunnel::{self, Tunnels};
use crate::workspace::{self, Archives, Snapshots};
use crate::{Config, Error};

/// The whole API of `sandboxd`, whose transfers share `buffers`, and the terminals, which outlive
/// the requests that opened them. Fails when the workspace does not exist.
pub fn router(
    config: Arc<Config>,
    children: Arc<Children>,
    mounts: Arc<Mounts>,
    buffers: Buffers,
) -> io::Result<(Router, Arc<Terminals>)> {
    let tracker = Tracker::new();
    let user = config.user.clone();
    let owner = config.user.ids.as_ref().map(|ids| (ids.uid, ids.gid));
    let unusable = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", config.workspace.display()));
    let workspace = Workspace::open(&config.workspace, owner).map_err(unusable)?;
    let workspace = workspace.with_roots(&config.file_roots)?.sharing(buffers.clone());
    let workspace = Arc::new(workspace.limited(&config.limits));
    let archives = Archives::open(
        &config.workspace,
        config.volume.as_deref(),
        owner,
        &config.limits,
        buffers.clone(),
    )
    .map_err(unusable)?
    .with_roots(&config.file_roots)?;
    let archives = Arc::new(archives);
    let snapshots = Snapshots::new(
        Arc::clone(&archives),
        Arc::clone(&mounts),
        Arc::clone(&children),
        user.clone(),
        config.limits,
    );
    let tunnels = Arc::new(Tunnels::new(&config, Arc::clone(&children), buffers.clone()));
    let sessions = Arc::new(Sessions::new(&config, buffers.clone()));
    let terminals = Terminals::new(
        Arc::clone(&config),
        Arc::clone(&children),
        Arc::clone(&tracker),
        Arc::clone(&sessions),
        buffers.clone(),
    );
    let ports_buffers = buffers.clone();
    let commands = Commands::new(
        config,
        children,
        Arc::clone(&tracker),
        Arc::clone(&sessions),
        buffers,
    );
    let commands = Arc::new(commands);
    let exec = Router::new()
        .route(sandboxd::EXEC, post(exec::exec))
        .with_state(Arc::clone(&commands));
    let sources = Arc::new(Sources {
        user,
        tracker: Arc::clone(&tracker),
        mounts: Arc::clone(&mounts),
        tunnels: Arc::clone(&tunnels),
    });
    let ports = Ports {
        sources: Arc::clone(&sources),
        tracker: Arc::clone(&tracker),
        buffers: ports_buffers,
        visits: Visits::default(),
    };
    let running = Running {
        commands: Arc::clone(&commands),
        mounts: Arc::clone(&mounts),
    };
    let router = Router::new()
        .merge(exec)
        .merge(git::router(Arc::clone(&commands)))
        .merge(code::router(Arc::new(Contexts::new(Arc::clone(&commands)))))
        .merge(process_routes::router(commands))
        .merge(session::routes::router(sessions))
        .merge(pty::router(Arc::clone(&terminals)))
        .merge(files::router(workspace))
        .merge(workspace::router(archives))
        .merge(tunnel::router(Arc::clone(&tunnels)))
        .merge(mount::router(mounts))
        .merge(port::router(Arc::new(ports)))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&tracker),
            count_request,
        ))
        .route(sandboxd::HEALTH, get(health))
        .route(sandboxd::ACTIVITY, get(activity))
        .with_state((tracker, tunnels))
        .merge(status::router(sources))
        .merge(workspace::snapshot_router(Arc::new(snapshots)))
        .merge(resume::router(Arc::new(running)))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method);
    Ok((router, terminals))
}

async fn health() -> Json<Health> {
    Json(Health { ok: true })
}

async fn activity(State((tracker, tunnels)): State<(Arc<Tracker>, Arc<Tunnels>)>) -> Json<Activity> {
    // Visitors of tunnels do not pass through `sandboxd`, so `cloudflared` is asked for them.
    if tunnels.had_visitors().await {
        tracker.touch();
    }
    Json(tracker.activity())
}

async fn no_route(uri: Uri) -> Error {
    Error::NoRoute(uri.path().to_owned())
}

async fn wrong_method(method: Method, uri: Uri) -> Error {
    Error::Method(format!("{method} {}", uri.path()))
}

async fn count_request(State(tracker): State<Arc<Tracker>>, request: Request, next: Next) -> Response {
    let activity = tracker.begin(ActivityKind::Request);
    next.run(request).await.map(|body| body::holding(body, activity))
}
