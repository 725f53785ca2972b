//! Processes over HTTP: every command of the sandbox, running or ended.
//!
//! The engine is [`crate::exec`]; this module answers requests about what it runs. None of them
//! waits for a client of another.

mod attach;
mod log;
pub mod ports;
mod socket_owners;
mod stdin;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join_all;
use rustix::process::Signal;
use sandbox_protocol::process::{
    ListQuery, MAX_BODY, Process, ProcessList, ProcessState, ProcessesEnded, SignalRequest, grace_ms,
};
use sandbox_protocol::{Invalid, sandboxd};

use crate::exec::{Commands, process};
use crate::threads::PROCESSES;
use crate::{Error, body, heartbeat};

/// The routes of processes.
pub fn router<S: Clone + Send + Sync + 'static>(commands: Arc<Commands>) -> Router<S> {
    let one = format!("{}/{{pid}}", sandboxd::PROCESS);
    let part = |name: &str| format!("{one}/{name}");
    Router::new()
        .route(sandboxd::PROCESS, post(start).get(list).delete(end_all))
        .route(&one, get(show).delete(end))
        .route(&part("log"), get(log::log))
        .route(&part("attach"), get(attach::attach))
        .route(&part("stdin"), post(stdin::write))
        .route(&part("signal"), post(signal))
        .route(&part("wait"), post(wait::wait))
        .with_state(commands)
}

/// `POST /process`: starts a process, and answers once its program runs.
async fn start(
    State(commands): State<Arc<Commands>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Process>, Error> {
    let (process, is_repeated) = commands.start_process(&headers, body).await?;
    // A new one has had no time to listen.
    let ports = if is_repeated {
        ports::ports_of_process(&process).await
    } else {
        Vec::new()
    };
    Ok(Json(process.describe(ports, &commands.workspace())))
}

/// `GET /process`: the processes, the newest first.
async fn list(State(commands): State<Arc<Commands>>, uri: Uri) -> Result<Json<ProcessList>, Error> {
    let query = ListQuery::parse(uri.query().unwrap_or_default())?;
    let found = commands.registry.newest(query.cursor);
    let is_wanted = |found: &Arc<process::Process>| !query.running || found.state() == ProcessState::Running;
    let mut wanted = found.into_iter().filter(is_wanted);
    let page: Vec<_> = wanted.by_ref().take(query.limit).collect();
    let last = page.last().map(|process| process.number.to_string());
    let cursor = wanted.next().and(last);
    let workspace = commands.workspace();
    let processes = ports::ports_of_processes(&page).await.into_iter().zip(&page);
    Ok(Json(ProcessList {
        processes: processes
            .map(|(ports, process)| process.describe(ports, &workspace))
            .collect(),
        cursor,
    }))
}

/// `GET /process/{pid}`: one process.
async fn show(State(commands): State<Arc<Commands>>, Path(id): Path<String>) -> Result<Json<Process>, Error> {
    let process = commands.registry.find(&id)?;
    let ports = ports::ports_of_process(&process).await;
    Ok(Json(process.describe(ports, &commands.workspace())))
}

/// `POST /process/{pid}/signal`: sends a signal to its whole tree: 204.
async fn signal(
    State(commands): State<Arc<Commands>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    let process = commands.registry.find(&id)?;
    let (body, _permit) = body::read(&headers, body, MAX_BODY, commands.buffers()).await?;
    let SignalRequest { signal } = SignalRequest::parse(&body)?;
    let signal = i32::try_from(signal)
        .ok()
        .and_then(signal_of)
        .ok_or_else(|| Invalid::request(format!("signal {signal} is reserved")))?;
    if !process.signal(signal).await {
        return Err(Error::ProcessEnded(id));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The signal with this number. The C library keeps some real-time signals for itself.
fn signal_of(number: i32) -> Option<Signal> {
    Signal::from_named_raw(number).or_else(|| {
        let is_free = (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number);
        // SAFETY: the C library uses none of these.
        is_free.then(|| unsafe { Signal::from_raw_unchecked(number) })
    })
}

/// `DELETE /process/{pid}`: ends its whole tree and forgets it: 204.
async fn end(
    State(commands): State<Arc<Commands>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Error> {
    let process = commands.registry.find(&id)?;
    let grace = Duration::from_millis(grace_ms(uri.query().unwrap_or_default())?);
    end_tree(&process, grace).await;
    commands.registry.forget(&process);
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /process`: ends every process that runs, with its whole tree, and forgets it.
async fn end_all(State(commands): State<Arc<Commands>>, uri: Uri) -> Result<Response, Error> {
    let grace = Duration::from_millis(grace_ms(uri.query().unwrap_or_default())?);
    let processes = commands.registry.newest(None);
    let ending = async move {
        let ended = join_all(processes.iter().map(|process| end_tree(process, grace))).await;
        processes
            .iter()
            .for_each(|process| commands.registry.forget(process));
        let ended = ended.into_iter().filter(|was_running| *was_running).count() as u64;
        Ok(ProcessesEnded { ended })
    };
    Ok(heartbeat::json(ending).await.into_response())
}

/// Ends a process with its whole tree, also the children that it has left in the background.
/// Returns whether it was running.
async fn end_tree(process: &Arc<process::Process>, grace: Duration) -> bool {
    let was_running = process.end(grace).await;
    let tree = process.tree().clone();
    if let Some(tree) = tree {
        // Fails when it panics.
        let _ = PROCESSES.run(move || tree.end(grace)).await;
    }
    was_running
}
