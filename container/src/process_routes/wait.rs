//! `POST /process/{pid}/wait`: waits for the end of a process, for a port, or for output.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use regex::bytes::{Regex, RegexBuilder};
use sandbox_protocol::Invalid;
use sandbox_protocol::event::{self, OutputStream};
use sandbox_protocol::port::HttpCheck;
use sandbox_protocol::process::{Condition, MAX_BODY, WaitRequest, WaitResult, WaitState};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ports;
use crate::exec::Commands;
use crate::exec::event_log::End;
use crate::exec::process::Process;
use crate::exec::reader::Reader;
use crate::port::wait::until_ready;
use crate::threads::PROCESSES;
use crate::{Error, body, heartbeat};

/// The most bytes that a match may span: so much of the output before a new piece is searched
/// again.
const MAX_MATCH: usize = 64 * 1024;

/// The most bytes of a match that are reported.
const MAX_REPORTED: usize = 4096;

/// The memory of a compiled pattern, in bytes.
const PATTERN_MEMORY: usize = 1024 * 1024;

/// The searches that run at the same time: one can take seconds, and commands need the cores.
static SEARCHES: Semaphore = Semaphore::const_new(2);

/// Answers with a [`WaitResult`] once the condition holds, the process has ended, or the time is
/// over. Error: 400 for a pattern that is no regular expression.
pub(super) async fn wait(
    State(commands): State<Arc<Commands>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let process = commands.registry.find(&id)?;
    let (body, _permit) = body::read(&headers, body, MAX_BODY, commands.buffers()).await?;
    let WaitRequest {
        condition,
        timeout_ms,
    } = WaitRequest::parse(&body)?;
    let condition = CompiledCondition::new(condition)?;
    Ok(heartbeat::json(async move {
        let result = until(&process, condition);
        Ok(match timeout_ms {
            None => result.await,
            Some(limit) => timeout(Duration::from_millis(limit.get()), result)
                .await
                .unwrap_or_else(|_| WaitResult::new(WaitState::TimedOut)),
        })
    })
    .await)
}

/// A condition that can hold.
enum CompiledCondition {
    Exit,
    Port(u16, HttpCheck),
    Log(Regex, Option<OutputStream>),
}

impl CompiledCondition {
    fn new(condition: Condition) -> Result<Self, Invalid> {
        Ok(match condition {
            Condition::Exit => Self::Exit,
            Condition::Port { port, http } => Self::Port(port, http),
            Condition::Log { pattern, stream } => {
                let pattern = RegexBuilder::new(&pattern)
                    .multi_line(true)
                    .size_limit(PATTERN_MEMORY)
                    .build()
                    .map_err(|e| Invalid::request(format!("pattern: {e}")))?;
                Self::Log(pattern, stream)
            }
        })
    }
}

async fn until(process: &Process, condition: CompiledCondition) -> WaitResult {
    match condition {
        CompiledCondition::Exit => ended(process.log.ended().await),
        CompiledCondition::Log(pattern, stream) => until_match(process, &pattern, stream).await,
        CompiledCondition::Port(port, http) => tokio::select! {
            biased;
            ready = until_listening(process, port, &http) => ready,
            end = process.log.ended() => ended(end),
        },
    }
}

fn ended(end: End) -> WaitResult {
    let mut result = WaitResult::new(WaitState::Exited);
    match end.result {
        Ok(exit) => result.exit = Some(exit),
        Err(error) => result.error = Some(error),
    }
    result
}

/// Searches the output, from its beginning, until it matches or the process ends. A match may span
/// pieces of the output, but not both outputs.
async fn until_match(process: &Process, pattern: &Regex, stream: Option<OutputStream>) -> WaitResult {
    let mut reader = Reader::follower(&process.log, 0, stream);
    let mut windows = [Window::default(), Window::default()];
    loop {
        // The log may be complete much later than the process has ended: an owner may not read it.
        let events = tokio::select! {
            biased;
            events = reader.next() => events,
            _ = process.log.ended() => None,
        };
        let Some(events) = events else {
            break;
        };
        let mut changed = None;
        for event in event::split(&events) {
            changed = event::stream_of(event).map(|stream| stream as usize);
            let Some(window) = changed.and_then(|stream| windows.get_mut(stream)) else {
                // Output on both sides of a gap does not belong together.
                windows = Default::default();
                continue;
            };
            event::decode_output(event, &mut window.output);
            window.ends.push((window.output.len(), event::id_of(event)));
        }
        let Some(window) = changed.and_then(|stream| windows.get_mut(stream)) else {
            continue;
        };
        let (searched, result) = search(std::mem::take(window), pattern.clone()).await;
        if let Some(result) = result {
            return result;
        }
        *window = searched;
    }
    ended(process.log.ended().await)
}

/// Searches a window on a thread of its own, and drops what no further match can span.
async fn search(mut window: Window, pattern: Regex) -> (Window, Option<WaitResult>) {
    // Cannot fail: nobody closes it.
    let permit = SEARCHES.acquire().await;
    let searched = spawn_blocking(move || {
        let result = window.find(&pattern);
        window.shorten();
        drop(permit);
        (window, result)
    });
    // It fails when it panics.
    searched.await.unwrap_or_default()
}

/// The end of an output, which is searched.
#[derive(Default)]
struct Window {
    output: Vec<u8>,
    /// Where the search begins. The byte before tells it whether a line or a word begins there.
    start: usize,
    /// The ends in `output` of the events that have not been searched yet, and their ids.
    ends: Vec<(usize, Option<u64>)>,
}

impl Window {
    fn find(&self, pattern: &Regex) -> Option<WaitResult> {
        let found = pattern.find_at(&self.output, self.start)?;
        let reported = found.as_bytes().get(..MAX_REPORTED).unwrap_or(found.as_bytes());
        let event = self.ends.iter().find(|(end, _)| *end >= found.end());
        let mut result = WaitResult::new(WaitState::Matched);
        result.matched = Some(String::from_utf8_lossy(reported).into_owned());
        result.event_id = event.and_then(|(_, id)| *id);
        Some(result)
    }

    /// Drops what no further match can span.
    fn shorten(&mut self) {
        self.ends.clear();
        let excess = self.output.len().saturating_sub(MAX_MATCH + 1);
        if excess > 0 {
            self.output.drain(..excess);
            self.start = 1;
        }
    }
}

/// Waits until the process tree listens on the port, and its HTTP server gives the answer.
async fn until_listening(process: &Process, port: u16, http: &HttpCheck) -> WaitResult {
    let is_listening = || async {
        let tree = process.tree().clone();
        let ports = match tree {
            // It fails when it panics.
            Some(tree) => PROCESSES
                .run(move || ports::ports_of_tree(&tree))
                .await
                .unwrap_or_default(),
            None => Vec::new(),
        };
        ports.contains(&port)
    };
    let mut result = WaitResult::new(WaitState::Ready);
    result.status = until_ready(port, http, is_listening).await;
    result
}
