//! The routes of contexts and of runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use sandbox_protocol::code::{
    self, ContextList, Execution, LanguageList, MAX_BODY, MAX_CONTEXT_BODY, is_image,
};
use sandbox_protocol::exec::{DEFAULT_LOG_BYTES, PROCESS_HEADER};
use sandbox_protocol::process::since;
use sandbox_protocol::{ContextRequest, ExecRequest, Invalid, RunCodeRequest, event, sandboxd};

use super::context::{Context, panicked};
use super::execution::Collector;
use super::prewarm;
use super::run::{Held, Run};
use super::table::Contexts;
use crate::exec::event_log::OwnerKind;
use crate::exec::process::Process;
use crate::exec::reader::Reader;
use crate::exec::registry::Entry;
use crate::exec::stream;
use crate::request_headers::{accepts, last_event_id};
use crate::to_its_end::to_its_end;
use crate::{Error, body, heartbeat};

/// The first argument of a run as it is shown. The others are its context and its code.
const RUN: &str = "run-code";

/// The routes of contexts and runs. Starts the kernels that are to be ready.
pub fn router<S: Clone + Send + Sync + 'static>(contexts: Arc<Contexts>) -> Router<S> {
    tokio::spawn(prewarm::keep_ready(Arc::clone(&contexts)));
    let one = format!("{}/{{cid}}", sandboxd::CONTEXT);
    let part = |name: &str| format!("{one}/{name}");
    Router::new()
        .route(sandboxd::CONTEXT, post(create).get(list))
        .route(&one, delete(end))
        .route(&part("interrupt"), post(interrupt))
        .route(&part("restart"), post(restart))
        .route(&part("output/{n}/{*mime}"), get(output))
        .route(sandboxd::RUN_CODE, post(run_code))
        .route(sandboxd::LANGUAGE, get(languages))
        .with_state(contexts)
}

/// `POST /context`: creates a context, whose kernel starts while the answer is on its way.
async fn create(
    State(contexts): State<Arc<Contexts>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<code::Context>, Error> {
    let commands = Arc::clone(&contexts.commands);
    let (body, _permit) = body::read(&headers, body, MAX_CONTEXT_BODY, commands.buffers()).await?;
    let request = ContextRequest::parse(&body)?;
    let fingerprint = request
        .id
        .as_ref()
        .map(|_| commands.registry.fingerprint(&body, None));
    let context = contexts.create(request, fingerprint).await?;
    let description = context.describe(&commands.workspace());
    tokio::spawn(async move {
        // A run that needs the kernel starts it again, and tells the failure.
        if let Err(e) = context.kernel(&commands).await.map(drop) {
            tracing::warn!(error = %e, "the kernel of a context did not start");
        }
    });
    Ok(Json(description))
}

/// `GET /context`: the contexts, the oldest first.
async fn list(State(contexts): State<Arc<Contexts>>) -> Json<ContextList> {
    let workspace = contexts.commands.workspace();
    let mut found: Vec<_> = contexts
        .all()
        .iter()
        .map(|context| context.describe(&workspace))
        .collect();
    found.sort_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
    Json(ContextList { contexts: found })
}

/// `DELETE /context/{cid}`: ends the kernel and what runs in it: 204.
async fn end(State(contexts): State<Arc<Contexts>>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let context = contexts.find(&id)?;
    contexts.remove(&context);
    context.delete().await;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /context/{cid}/interrupt`: interrupts the run that is under way: 204.
async fn interrupt(
    State(contexts): State<Arc<Contexts>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let context = contexts.find(&id)?;
    context.check()?;
    context.interrupts.send_modify(|interrupts| *interrupts += 1);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /context/{cid}/restart`: starts another kernel.
async fn restart(State(contexts): State<Arc<Contexts>>, Path(id): Path<String>) -> Result<Response, Error> {
    let context = contexts.find(&id)?;
    let restarting = to_its_end(panicked, async move {
        context.restart(&contexts.commands).await?;
        Ok(context.describe(&contexts.commands.workspace()))
    });
    Ok(heartbeat::json(restarting).await)
}

/// `GET /language`: the languages for which there is a kernel.
async fn languages(State(contexts): State<Arc<Contexts>>) -> Result<Json<LanguageList>, Error> {
    Ok(Json(contexts.languages().await?))
}

/// `GET /context/{cid}/output/{n}/{mime}`: an image of a result.
async fn output(
    State(contexts): State<Arc<Contexts>>,
    Path((id, number, media_type)): Path<(String, String, String)>,
) -> Result<Response, Error> {
    let context = contexts.find(&id)?;
    let number = number
        .parse()
        .map_err(|_| Invalid::request("the number of an output must be a whole number"))?;
    let found = context
        .images
        .find(number, &media_type)
        .filter(|_| is_image(&media_type));
    let found = found.ok_or_else(|| Error::NoEntry(format!("the image {number} of the context {id}")))?;
    let mut response = Response::new(Body::from(found));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type.as_str()),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
        // An SVG image may contain programs.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        let value =
            HeaderValue::from_str(value).map_err(|_| Invalid::request("the media type is malformed"))?;
        headers.insert(name, value);
    }
    Ok(response)
}

/// `POST /run-code`: runs code. Answers with its result, or streams its events to a client that accepts
/// them. Errors: 400, 404 and 410 of its context, 501 when there is no kernel for its language, 503 when a
/// limit is reached.
async fn run_code(
    State(contexts): State<Arc<Contexts>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let commands = Arc::clone(&contexts.commands);
    let parse = |body: &[u8]| {
        let request = RunCodeRequest::parse(body)?;
        let fingerprint = request.id.as_ref();
        let fingerprint = fingerprint.map(|_| commands.registry.fingerprint(body, None));
        Ok((request, fingerprint))
    };
    let read = body::read_parsed(&headers, body, MAX_BODY, commands.buffers(), parse);
    let ((request, fingerprint), buffer_permit) = read.await?;
    let mut entry = entry(&request);
    let mut cursor = 0;
    if request.id.is_some() {
        cursor = since("", last_event_id(&headers).as_deref())?;
    }
    let (process, reader) = match commands.registry.existing(&entry, fingerprint)? {
        Some(process) => {
            process.log.check_cursor(cursor)?;
            let reader = Reader::owner(&process.log, cursor, OwnerKind::Client);
            (process, reader)
        }
        None if cursor > 0 => {
            // Its client continues a stream. Without the process, the code would run again.
            return Err(Error::ProcessNotFound(
                request.id.as_ref().map(ToString::to_string).unwrap_or_default(),
            ));
        }
        None => {
            let context = contexts.target(request.target.clone()).await?;
            if !(request.env.is_empty() && request.cwd.is_none() || context.plan.spec.is_ipython()) {
                return Err(Error::NotSupported(format!(
                    "cwd and env of one run are for Python; create a context of {} with them",
                    context.language
                )));
            }
            entry.argv = vec![RUN.to_owned(), context.id.to_string(), request.code.clone()];
            begin(&contexts, context, request, entry, fingerprint, buffer_permit)?
        }
    };
    let mut response = if accepts(&headers, event::CONTENT_TYPE) {
        stream::response(reader.into_body())
    } else {
        answer(Arc::clone(&process), reader).await
    };
    if let Ok(id) = HeaderValue::from_str(process.id.as_str()) {
        response.headers_mut().insert(PROCESS_HEADER, id);
    }
    Ok(response)
}

/// Enters a run in the registry and starts its task. Its client is the owner of its log.
fn begin(
    contexts: &Arc<Contexts>,
    context: Arc<Context>,
    request: RunCodeRequest,
    entry: ExecRequest,
    fingerprint: Option<u64>,
    buffer_permit: crate::quota::BufferPermit,
) -> Result<(Arc<Process>, Reader), Error> {
    let commands = &contexts.commands;
    let queue_permit = context.queue.take()?;
    let (process, controls) = match commands.registry.enter(&entry, fingerprint, None)? {
        Entry::New(process, controls) => (process, controls),
        Entry::Existing(process) => {
            let reader = Reader::owner(&process.log, 0, OwnerKind::Client);
            return Ok((process, reader));
        }
    };
    let reader = Reader::owner(&process.log, 0, OwnerKind::Client);
    let run = Run {
        linger: (!request.detached).then_some(Duration::from_millis(request.linger_ms)),
        context,
        request,
        process: Arc::clone(&process),
        controls,
        held: Held {
            activity: commands.count_command(),
            queue_permit,
            buffer_permit,
        },
    };
    tokio::spawn(run.run(Arc::clone(commands)));
    Ok((process, reader))
}

/// The entry of a run in the registry, without its arguments.
fn entry(request: &RunCodeRequest) -> ExecRequest {
    ExecRequest {
        argv: Vec::new(),
        is_command_line: false,
        timeout_ms: Some(request.timeout_ms),
        cwd: None,
        env: std::collections::BTreeMap::new(),
        stdin: None,
        detached: request.detached,
        linger_ms: request.linger_ms,
        id: request.id.clone(),
        replace: false,
        stdin_open: false,
        log_bytes: DEFAULT_LOG_BYTES,
        keep_awake: true,
        restart: false,
    }
}

/// Reads the log of a run to its end, and answers with its result.
async fn answer(process: Arc<Process>, mut reader: Reader) -> Response {
    let started = Instant::now();
    heartbeat::json(async move {
        let mut collector = Collector::new();
        while let Some(events) = reader.next().await {
            collector.push(&events);
        }
        let exit = process.log.ended().await.result.map_err(Error::Failed)?;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let context_id = process.argv().get(1).cloned().unwrap_or_default();
        let execution: Execution = collector.finish(&exit, duration_ms, context_id, process.id.to_string());
        Ok(execution)
    })
    .await
}
