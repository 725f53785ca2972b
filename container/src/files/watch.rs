//! `GET /watch/{path}`: changes of files, from inotify. `changes` answers from the same logs.
//!
//! A watch belongs to a path, not to a client: clients of the same path share it, and it stays for
//! ten minutes without one, so that a client whose connection broke continues. Its task
//! reads the kernel's events, `tree` translates them into paths, and `log` keeps the last ones with
//! their ids. A client has a cursor in the log, so a slow one delays nobody: it gets `overflow`.

mod changes;
mod log;
mod registry;
mod task;
mod tree;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use globset::GlobMatcher;
use sandbox_protocol::event::write_json;
use sandbox_protocol::file::{WatchEventType, WatchQuery};
use sandbox_protocol::sandboxd;
use serde_json::json;

use super::list::glob;
use super::workspace::Workspace;
use crate::error::Error;
use crate::exec::stream::{EventStream, response};
use crate::request_headers::last_event_id;
use log::{Next, Record};
use registry::Client;

pub(super) use changes::changes;
pub(super) use registry::Watches;

/// Answers with the events as they come. The first one says that the watch has begun.
pub(super) async fn watch(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let path = workspace.requested(&uri, sandboxd::WATCH)?;
    let last_event_id = last_event_id(&headers);
    let query = WatchQuery::parse(uri.query().unwrap_or_default(), last_event_id.as_deref())?;
    let filter = Filter::new(path.as_str(), &query)?;
    let client = Watches::client(&workspace, path, query.recursive).await?;
    let mut begin = Vec::new();
    let cursor = match query.since {
        // Without an id: the events behind it come first.
        Some(since) => {
            write_watching(&client, None, &mut begin);
            since
        }
        None => {
            let last = client.log().last_id();
            write_watching(&client, Some(last), &mut begin);
            last
        }
    };
    let events = stream::unfold(Some((client, filter, cursor, Some(begin))), async |state| {
        let (client, filter, mut cursor, begin) = state?;
        if let Some(begin) = begin {
            return Some((Bytes::from(begin), Some((client, filter, cursor, None))));
        }
        loop {
            let next = client.log().next(cursor).await;
            let mut wire = Vec::new();
            match next {
                Next::End => return None,
                Next::Lost { resume } => {
                    write_json(
                        WatchEventType::Overflow.name(),
                        Some(resume),
                        &json!({}),
                        &mut wire,
                    );
                    cursor = resume;
                }
                Next::Events(events) => {
                    for (id, record) in events {
                        cursor = id;
                        filter.write(id, &record, &mut wire);
                    }
                }
            }
            if !wire.is_empty() {
                return Some((Bytes::from(wire), Some((client, filter, cursor, None))));
            }
        }
    });
    Ok(response(Body::new(EventStream::new(events))))
}

fn write_watching(client: &Client, id: Option<u64>, wire: &mut Vec<u8>) {
    let data = json!({ "path": client.path() });
    write_json(WatchEventType::Watching.name(), id, &data, wire);
}

/// The events that a client wants.
struct Filter {
    /// The watched path.
    root: String,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

struct Pattern {
    glob: GlobMatcher,
    /// Whether it is for paths below the watched one and not for names.
    is_of_paths: bool,
}

impl Filter {
    fn new(root: &str, query: &WatchQuery) -> Result<Self, Error> {
        let patterns = |globs: &[String]| {
            let pattern = |text: &String| {
                Ok::<_, Error>(Pattern {
                    glob: glob(text)?,
                    is_of_paths: text.contains('/'),
                })
            };
            globs.iter().map(pattern).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            root: format!("{root}/"),
            include: patterns(&query.include)?,
            exclude: patterns(&query.exclude)?,
        })
    }

    /// Whether an event at this path is sent. A directory that is left out takes with it what is in
    /// it.
    fn has(&self, path: &str) -> bool {
        let below = path.strip_prefix(&self.root).unwrap_or_default();
        let matches = |pattern: &Pattern, path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            pattern
                .glob
                .is_match(if pattern.is_of_paths { path } else { name })
        };
        let ends = below.match_indices('/').map(|(end, _)| end);
        let mut ancestors = ends.filter_map(|end| below.get(..end)).chain([below]);
        let is_included =
            self.include.is_empty() || self.include.iter().any(|pattern| matches(pattern, below));
        is_included && !ancestors.any(|path| self.exclude.iter().any(|pattern| matches(pattern, path)))
    }

    fn write(&self, id: u64, record: &Record, wire: &mut Vec<u8>) {
        match record {
            Record::Overflow => {
                write_json(WatchEventType::Overflow.name(), Some(id), &json!({}), wire);
            }
            Record::Event(event_type, event) => {
                let from = event.from.as_deref();
                if self.has(&event.path) || from.is_some_and(|from| self.has(from)) {
                    write_json(event_type.name(), Some(id), event, wire);
                }
            }
        }
    }
}
