//! `POST /search`: lines of files that match.
//!
//! One thread walks through the tree and opens files, as [`crate::paths::Walk`] does: through no
//! link. Others search them. The matches of a file come together, those of different files in any
//! order. When the client leaves, all threads end.

mod ignored;
mod lines;
mod tree;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use sandbox_protocol::Invalid;
use sandbox_protocol::event::KEEP_ALIVE_SECONDS;
use sandbox_protocol::file::{
    DEFAULT_RESULTS, MAX_SEARCH_BODY, NDJSON, SearchEnd, SearchMatch, SearchRequest, SearchResult,
    accepts_ndjson,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::list::write_line;
use super::workspace::Workspace;
use crate::error::Error;
use crate::quota::{BufferPermit, Buffers};
use crate::{body, heartbeat};
use tree::Search;

/// The most files whose matches wait to be sent.
const WAITING: usize = 16;

/// The most bytes of matches in one JSON answer.
const MAX_ANSWER: usize = 16 << 20;

/// The size limit of a compiled pattern, in bytes.
const MAX_COMPILED: usize = 10 << 20;

/// The longest silence. A little less than what is promised, as a space takes time to arrive.
const SILENCE: Duration = Duration::from_millis(KEEP_ALIVE_SECONDS * 1000 - 500);

/// The matches of a file, or the reason why the search broke off.
type Found = Result<Vec<SearchMatch>, Error>;

/// Answers with the matches; one a line, as they are found, for a client that accepts NDJSON.
pub(super) async fn search(
    State(workspace): State<Arc<Workspace>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (body, _permit) = body::read(&headers, body, MAX_SEARCH_BODY, &workspace.buffers).await?;
    let request = SearchRequest::parse(&body, &workspace.file_roots)?;
    let matcher = compile(&request)?;
    let permit = workspace.searches.take()?;
    let buffers = workspace.buffers.clone();
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_lines = accepts_ndjson(accept);
    let limit = match request.max_results {
        Some(limit) => limit,
        None if is_lines => u64::MAX,
        None => DEFAULT_RESULTS,
    };
    let (sender, mut found) = mpsc::channel(WAITING);
    // Threads of its own: they wait for a client that reads slowly.
    std::thread::Builder::new()
        .name("search".into())
        .spawn(move || {
            let search = Search::new(&workspace, &request, matcher, sender.clone());
            if let Err(e) = search.and_then(|search| search.run()) {
                // Fails when the client left.
                let _ = sender.blocking_send(Err(e));
            }
            drop(permit);
        })
        .map_err(Error::Read)?;
    if !is_lines {
        return Ok(heartbeat::json(collect(found, limit, buffers)).await);
    }
    // An error before the first match has its status.
    let first = timeout(SILENCE, found.recv()).await;
    let first = match first {
        Ok(Some(Err(e))) => return Err(e),
        Ok(Some(Ok(matches))) => Some(matches),
        Ok(None) | Err(_) => None,
    };
    let lines = stream::unfold(Some(Lines::new(first, found, limit)), async |lines| {
        let mut lines = lines?;
        let part = lines.part().await;
        let next = (part.is_ok() && !lines.is_done).then_some(lines);
        Some((part, next))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let kind = HeaderValue::from_static(NDJSON);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response.into_response())
}

fn compile(request: &SearchRequest) -> Result<RegexMatcher, Error> {
    let mut builder = RegexMatcherBuilder::new();
    builder
        .case_insensitive(request.ignore_case)
        .fixed_strings(!request.regex)
        // `^` and `$` are the ends of a line.
        .multi_line(true)
        .line_terminator(Some(b'\n'))
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED);
    let compiled = builder.build(&request.pattern);
    Ok(compiled.map_err(|e| Invalid::request(format!("pattern: {e}")))?)
}

/// All matches, sorted.
async fn collect(
    mut found: mpsc::Receiver<Found>,
    limit: u64,
    buffers: Buffers,
) -> Result<SearchResult, Error> {
    let mut result = SearchResult::default();
    let mut permit = BufferPermit::default();
    let mut size = 0;
    while let Some(matches) = found.recv().await {
        for found in matches? {
            size += size_of_match(&found);
            if result.matches.len() as u64 == limit || size > MAX_ANSWER {
                result.truncated = true;
                break;
            }
            result.matches.push(found);
        }
        if result.truncated {
            break;
        }
        buffers.grow(&mut permit, size as u64)?;
    }
    result
        .matches
        .sort_by(|one, other| (&one.path, one.line).cmp(&(&other.path, other.line)));
    Ok(result)
}

/// About the bytes of a match in memory.
fn size_of_match(found: &SearchMatch) -> usize {
    let lines = found.before.iter().chain(&found.after);
    let context: usize = lines.map(|line| line.len() + size_of::<String>()).sum();
    size_of::<SearchMatch>() + found.path.len() + found.text.len() + context
}

/// The matches as lines of JSON.
struct Lines {
    first: Option<Vec<SearchMatch>>,
    found: mpsc::Receiver<Found>,
    limit: u64,
    end: SearchEnd,
    is_done: bool,
}

impl Lines {
    fn new(first: Option<Vec<SearchMatch>>, found: mpsc::Receiver<Found>, limit: u64) -> Self {
        Self {
            first,
            found,
            limit,
            end: SearchEnd::default(),
            is_done: false,
        }
    }

    /// The next lines; a space, which JSON ignores, when none come for [`SILENCE`].
    async fn part(&mut self) -> io::Result<Bytes> {
        let matches = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => match timeout(SILENCE, self.found.recv()).await {
                Err(_) => return Ok(Bytes::from_static(b" ")),
                Ok(matches) => matches,
            },
        };
        let mut lines = Vec::new();
        match matches.transpose().map_err(io::Error::other)? {
            None => self.is_done = true,
            Some(matches) => {
                for found in matches {
                    if self.end.matches == self.limit {
                        self.end.truncated = true;
                        self.is_done = true;
                        break;
                    }
                    write_line(&found, &mut lines);
                    self.end.matches += 1;
                }
            }
        }
        if self.is_done {
            write_line(&self.end, &mut lines);
        }
        Ok(lines.into())
    }
}
