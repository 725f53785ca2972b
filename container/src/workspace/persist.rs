//! `persist`: the workspace as an archive.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use sandbox_protocol::PersistOptions;
use tokio::sync::mpsc;

use super::Archives;
use super::exclude::Excludes;
use super::output::{HELD, Output, Part, WAITING};
use super::walk::{self, Stop};
use crate::error::Error;
use crate::memory;
use crate::quota::Room;

const HEADERS: [(HeaderName, HeaderValue); 1] = [(
    header::CONTENT_TYPE,
    HeaderValue::from_static("application/octet-stream"),
)];

/// Answers `GET` and `POST` with the archive. It is announced when the first chunk of it is there: what goes wrong
/// until then is a 502, after that a body that breaks off.
pub(super) async fn persist(State(archives): State<Arc<Archives>>, uri: Uri) -> Result<Response, Error> {
    let options = PersistOptions::from_query(uri.query().unwrap_or_default())?;
    let permit = archives.under_way.take()?;
    let room = archives.buffers.take(HELD)?;
    let (sender, mut parts) = mpsc::channel(WAITING);
    // A thread of its own: a client that stalls would hold one of the pool that all other requests share.
    std::thread::Builder::new()
        .name("persist".into())
        .spawn(move || {
            produce(&archives, &options, sender);
            drop(permit);
        })
        .map_err(Error::Persist)?;
    let first = match parts.recv().await {
        Some(Part::Chunk(chunk)) => chunk,
        Some(Part::Failed(e)) => return Err(Error::Persist(e)),
        // There is no archive without a byte.
        Some(Part::End) | None => return Err(Error::Persist(lost())),
    };
    let body = Body::new(ArchiveBody {
        first: Some(first),
        parts,
        _room: room,
    });
    Ok((HEADERS, body).into_response())
}

/// Reads the workspace into `parts`, until it is through or nobody takes them any more.
fn produce(archives: &Archives, options: &PersistOptions, parts: mpsc::Sender<Part>) {
    let write = || {
        let root = archives.open_root().map_err(|e| Stop::Failed(e.into()))?;
        let excludes = Excludes::new(&options.excludes);
        let mut output = Output::new(options.format, parts.clone()).map_err(Stop::Failed)?;
        walk::write_tree(root, &excludes, &mut output)?;
        output.finish().map_err(|_| Stop::Gone)
    };
    if let Err(Stop::Failed(e)) = write() {
        tracing::warn!(error = %e, "an archive of the workspace broke off");
        // Whoever left does not want to know.
        let _ = parts.blocking_send(Part::Failed(e));
    }
}

/// An archive that is being read. Dropped, it stops the thread that reads.
struct ArchiveBody {
    first: Option<Bytes>,
    parts: mpsc::Receiver<Part>,
    /// That of the chunks.
    _room: Room,
}

impl Drop for ArchiveBody {
    fn drop(&mut self) {
        memory::release_soon();
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
