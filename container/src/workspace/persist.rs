//! `persist`: the workspace as an archive.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use sandbox_protocol::{FilePath, PersistOptions, workspace_path};
use tokio::sync::mpsc;

use super::Archives;
use super::exclude::Excludes;
use super::output::{HELD, Output, Part, WAITING};
use super::writer::{self, Stop};
use crate::error::Error;
use crate::files;
use crate::malloc;
use crate::paths::Names;
use crate::quota::BufferPermit;

const HEADERS: [(HeaderName, HeaderValue); 1] = [(
    header::CONTENT_TYPE,
    HeaderValue::from_static("application/octet-stream"),
)];

/// Answers `GET` and `POST` with the archive. The response starts when its first chunk is ready: an
/// error before that is a 502, after that a body that breaks off.
pub(super) async fn persist(State(archives): State<Arc<Archives>>, uri: Uri) -> Result<Response, Error> {
    let options = PersistOptions::from_query(uri.query().unwrap_or_default(), &archives.file_roots)?;
    let archived = {
        let (archives, path) = (Arc::clone(&archives), options.path.clone());
        // A directory that is missing is an error with its status.
        let open = tokio::task::spawn_blocking(move || Archived::open(&archives, path));
        open.await.map_err(|e| Error::Persist(io::Error::other(e)))??
    };
    let permit = archives.under_way.take()?;
    let buffer = archives.buffers.take(HELD)?;
    let (sender, mut parts) = mpsc::channel(WAITING);
    // A thread of its own: a client that stalls would hold a thread of the pool that all other
    // requests share.
    std::thread::Builder::new()
        .name("persist".into())
        .spawn(move || {
            produce(archived, &options, sender);
            drop(permit);
        })
        .map_err(Error::Persist)?;
    let first = match parts.recv().await {
        Some(Part::Chunk(chunk)) => chunk,
        Some(Part::Failed(e)) => return Err(Error::Persist(e)),
        // No archive is empty.
        Some(Part::End) | None => return Err(Error::Persist(lost())),
    };
    let body = Body::new(ArchiveBody {
        first: Some(first),
        parts,
        _buffer: buffer,
    });
    Ok((HEADERS, body).into_response())
}

/// The directory that is archived.
struct Archived {
    directory: OwnedFd,
    /// Its absolute paths, which links in it become relative to.
    names: Names,
}

impl Archived {
    /// Opens the directory at `path`, the workspace by default.
    fn open(archives: &Archives, path: Option<FilePath>) -> Result<Self, Error> {
        let workspace = || FilePath::parse("path", workspace_path::WORKSPACE, &archives.file_roots);
        let path = path.map_or_else(workspace, Ok)?;
        let directory = match files::open(&archives.roots, &path) {
            Err(Error::Read(e)) => Err(Error::Persist(e)),
            opened => opened,
        };
        Ok(Self {
            directory: directory?,
            names: Names::new(&archives.real_path(&path)).map_err(Error::Persist)?,
        })
    }
}

/// Reads the workspace into `parts`, until its end or until nobody receives them any more.
fn produce(archived: Archived, options: &PersistOptions, parts: mpsc::Sender<Part>) {
    let Archived { directory, names } = archived;
    let write = || {
        let excludes = Excludes::new(&options.excludes);
        let mut output = Output::new(options.format, parts.clone()).map_err(Stop::Failed)?;
        writer::write_tree(directory, &names, &excludes, &mut output)?;
        output.finish().map_err(|_| Stop::Gone)
    };
    if let Err(Stop::Failed(e)) = write() {
        tracing::warn!(error = %e, "an archive of the workspace broke off");
        // Fails when the client left.
        let _ = parts.blocking_send(Part::Failed(e));
    }
}

/// An archive that is being read. Dropped, it stops the thread that reads.
struct ArchiveBody {
    first: Option<Bytes>,
    parts: mpsc::Receiver<Part>,
    /// The buffer permit of the chunks.
    _buffer: BufferPermit,
}

impl Drop for ArchiveBody {
    fn drop(&mut self) {
        malloc::release_later();
    }
}

impl http_body::Body for ArchiveBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Poll::Ready(match ready!(self.parts.poll_recv(context)) {
            Some(Part::Chunk(chunk)) => Some(Ok(Frame::data(chunk))),
            Some(Part::End) => None,
            Some(Part::Failed(e)) => Some(Err(e)),
            None => Some(Err(lost())),
        })
    }
}

fn lost() -> io::Error {
    io::Error::other("the thread that reads the workspace is lost")
}
