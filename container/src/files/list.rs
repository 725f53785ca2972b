//! `GET /directory/{path}`: the entries of a directory, as a page or as a stream.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::FileType;
use rustix::io::Errno;
use sandbox_protocol::file::{DirectoryQuery, ListingEnd, NDJSON, accepts_ndjson};
use sandbox_protocol::{FilePath, Invalid, sandboxd};

use super::entry::describe;
use super::page::Page;
use super::workspace::Workspace;
use super::{blocking, cancellable, entry_error};
use crate::error::Error;
use crate::paths::{Last, Roots, Walk, reopen_directory};
use crate::quota::Permit;
use crate::workspace::is_temporary;

/// The size at which a part of a stream is sent, in bytes.
const PART: usize = 64 * 1024;

/// The longest time that a part is worked on.
const PART_TIME: Duration = Duration::from_millis(200);

/// The longest silence. An entry is awaited behind a space, which JSON ignores.
const SILENCE: Duration = Duration::from_secs(4);

/// Answers with a page of the entries; with all of them for a client that accepts NDJSON.
pub(super) async fn list(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let path = workspace.requested(&uri, sandboxd::DIRECTORY)?;
    let query = DirectoryQuery::parse(uri.query().unwrap_or_default())?;
    let filter = Filter::new(&query)?;
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts_ndjson(accept) {
        return stream(workspace, path, query, filter).await;
    }
    let page = cancellable(Error::Read, move |is_cancelled| {
        let directory = open(&workspace.roots, &path)?;
        Page::new(directory, &path, query, filter)
            .read(is_cancelled)
            .map_err(|errno| entry_error(&path, errno, Error::Read))
    });
    Ok(Json(page.await?).into_response())
}

/// Opens the directory at `path`.
pub(crate) fn open(roots: &Roots, path: &FilePath) -> Result<OwnedFd, Error> {
    let refused = |errno| entry_error(path, errno, Error::Read);
    let found: File = roots.find(path, Last::Follow).map_err(refused)?;
    match reopen_directory(found.as_fd()) {
        Err(Errno::NOTDIR) => Err(Invalid::request(format!("{path} is not a directory")).into()),
        opened => opened.map_err(refused),
    }
}

/// The entries that are listed.
pub(super) struct Filter {
    hidden: bool,
    glob: Option<GlobMatcher>,
    /// Whether the glob is for paths and not for names.
    is_of_paths: bool,
}

impl Filter {
    fn new(query: &DirectoryQuery) -> Result<Self, Error> {
        Ok(Self {
            hidden: query.hidden,
            glob: query.glob.as_deref().map(glob).transpose()?,
            is_of_paths: query.glob.as_ref().is_some_and(|glob| glob.contains('/')),
        })
    }

    /// Whether this name can be listed at all, or entered.
    pub(super) fn shows(&self, name: &[u8]) -> bool {
        (self.hidden || !name.starts_with(b".")) && !is_temporary(name)
    }

    /// Whether the entry with this path below the directory is listed.
    pub(super) fn lists(&self, path: &[u8]) -> bool {
        let subject = match self.is_of_paths {
            true => path,
            false => path.rsplit(|byte| *byte == b'/').next().unwrap_or_default(),
        };
        let subject = Path::new(OsStr::from_bytes(subject));
        self.glob.as_ref().is_none_or(|glob| glob.is_match(subject))
    }
}

/// Compiles a glob, in which `*` and `?` match no slash.
pub(super) fn glob(text: &str) -> Result<GlobMatcher, Error> {
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|e| Invalid::request(format!("glob {text:?}: {}", e.kind())))?;
    Ok(glob.compile_matcher())
}

/// A listing that is being streamed.
struct Listing {
    walk: Walk,
    path: FilePath,
    query: DirectoryQuery,
    filter: Filter,
    end: ListingEnd,
    is_done: bool,
    last_sent: Instant,
    _permit: Permit,
}

async fn stream(
    workspace: Arc<Workspace>,
    path: FilePath,
    query: DirectoryQuery,
    filter: Filter,
) -> Result<Response, Error> {
    let permit = workspace.walks.take()?;
    let listing = blocking(Error::Read, move || {
        let walk = Walk::new(open(&workspace.roots, &path)?);
        let walk = walk.map_err(|errno| entry_error(&path, errno, Error::Read))?;
        let mut listing = Listing {
            walk,
            path,
            query,
            filter,
            end: ListingEnd::default(),
            is_done: false,
            last_sent: Instant::now(),
            _permit: permit,
        };
        // An error before the first entry has its status.
        let first = listing
            .part()
            .map_err(|e| entry_error(&listing.path, e, Error::Read))?;
        Ok((Some(first), listing))
    });
    let parts = stream::unfold(Some(listing.await?), |state| async {
        let (first, mut listing) = state?;
        if let Some(first) = first {
            return Some((Ok(first), Some((None, listing))));
        }
        if listing.is_done {
            return None;
        }
        let part = tokio::task::spawn_blocking(move || {
            let part = listing.part();
            (part, listing)
        });
        Some(match part.await {
            Ok((Ok(part), listing)) => (Ok(part), Some((None, listing))),
            Ok((Err(errno), _)) => (Err(std::io::Error::from(errno)), None),
            Err(e) => (Err(std::io::Error::other(e)), None),
        })
    });
    let mut response = Response::new(Body::from_stream(parts));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}

impl Listing {
    /// The next lines, about [`PART`] bytes; none when nothing was found for [`PART_TIME`].
    fn part(&mut self) -> Result<Bytes, Errno> {
        let started = Instant::now();
        let mut lines = Vec::new();
        while lines.len() < PART && started.elapsed() < PART_TIME {
            let Some(step) = self.walk.next() else {
                self.is_done = true;
                write_line(&self.end, &mut lines);
                break;
            };
            let step = step?;
            let name = step.name.to_bytes();
            if !self.filter.shows(name) {
                continue;
            }
            if self.filter.lists(step.path) {
                match std::str::from_utf8(step.path) {
                    Err(_) => self.end.unnamed += 1,
                    Ok(path) => match describe(step.directory, step.name, format!("{}/{path}", self.path)) {
                        // It is gone.
                        Err(Errno::NOENT) => continue,
                        entry => {
                            write_line(&entry?, &mut lines);
                            self.end.entries += 1;
                        }
                    },
                }
            }
            let is_directory = step.file_type()? == FileType::Directory;
            if is_directory && step.depth < self.query.depth && std::str::from_utf8(name).is_ok() {
                self.walk.enter()?;
            }
        }
        if !lines.is_empty() {
            self.last_sent = Instant::now();
        } else if self.last_sent.elapsed() > SILENCE {
            self.last_sent = Instant::now();
            lines.push(b' ');
        }
        Ok(lines.into())
    }
}

/// Appends a value as a line of JSON.
pub(super) fn write_line(value: &impl serde::Serialize, lines: &mut Vec<u8>) {
    // These types hold strings and numbers only, which JSON can always express.
    let _ = serde_json::to_writer(&mut *lines, value);
    lines.push(b'\n');
}
