//! `GET` and `HEAD`: a file as a response.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use rustix::io::Errno;
use sandbox_protocol::{Invalid, WorkspacePath};
use tokio::task::JoinHandle;

use super::contain::{self, Workspace};
use super::range::Part;
use super::validators::Validators;
use super::{blocking, refusal, requested};
use crate::error::Error;
use crate::quota::Room;

/// The most bytes that one read asks for. A response holds two chunks: one on its way out, one being read.
const CHUNK: u64 = 512 * 1024;

/// Answers `GET` and `HEAD`. The body is the file as it was announced: what is appended meanwhile is left out, and
/// when the file shrinks the connection breaks off.
pub(super) async fn read(
    State(workspace): State<Arc<Workspace>>,
    method: Method,
    uri: Uri,
    request: HeaderMap,
) -> Result<Response, Error> {
    let path = requested(&uri)?;
    let buffers = workspace.buffers.clone();
    let (file, size, validators) = blocking(Error::Read, move || open(&workspace, &path)).await?;

    let mut headers = HeaderMap::new();
    validators.write_to(&mut headers);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if validators.not_modified(&request) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    let (status, bytes) = match part(&method, &request, &validators, size) {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Unsatisfiable => return Err(Error::Range { size }),
        Part::Bytes(bytes) => {
            let (first, last) = (bytes.start, bytes.end.saturating_sub(1));
            if let Ok(range) = HeaderValue::try_from(format!("bytes {first}-{last}/{size}")) {
                headers.insert(header::CONTENT_RANGE, range);
            }
            (StatusCode::PARTIAL_CONTENT, bytes)
        }
    };
    headers.insert(header::CONTENT_LENGTH, (bytes.end - bytes.start).into());
    if method == Method::HEAD {
        return Ok((status, headers).into_response());
    }
    let room = buffers.take((bytes.end - bytes.start).min(2 * CHUNK))?;
    let body = Body::new(FileBody::start(file, bytes, room).await?);
    Ok((status, headers, body).into_response())
}

/// The part of the file that is asked for. Only `GET` has ranges.
fn part(method: &Method, request: &HeaderMap, validators: &Validators, size: u64) -> Part {
    match request.get(header::RANGE).map(HeaderValue::to_str) {
        Some(Ok(range)) if method == Method::GET && validators.range_applies(request) => {
            Part::parse(range, size)
        }
        _ => Part::Whole,
    }
}

/// Opens the regular file that `path` names: the file, its size in bytes and its validators.
fn open(workspace: &Workspace, path: &WorkspacePath) -> Result<(File, u64, Validators), Error> {
    let refused = |errno| match errno {
        Errno::NOENT | Errno::NOTDIR => Error::FileNotFound(path.to_string()),
        errno => refusal(path, errno, Error::Read),
    };
    let pinned = workspace.find(path).map_err(refused)?;
    let kind = pinned.metadata().map_err(Error::Read)?.file_type();
    if kind.is_dir() {
        return Err(Error::IsDirectory(path.to_string()));
    }
    if !kind.is_file() {
        return Err(Invalid::request(format!("{path} is not a regular file")).into());
    }
    // What is pinned is there: an ENOENT here would be a missing /proc.
    let file = contain::reopen(&pinned).map_err(|errno| refusal(path, errno, Error::Read))?;
    let metadata = file.metadata().map_err(Error::Read)?;
    let validators = Validators::new(&metadata, SystemTime::now());
    Ok((file, metadata.size(), validators))
}

/// The bytes of a file from `next` to `end`. While one chunk is sent the next is read.
struct FileBody {
    file: Arc<File>,
    next: u64,
    end: u64,
    read: Option<Bytes>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// That of the two chunks.
    _room: Room,
}

impl FileBody {
    /// Reads the first chunk, so that a small file leaves in one packet with the response's head, and a file that
    /// cannot be read is an error instead of a broken connection.
    async fn start(file: File, bytes: Range<u64>, room: Room) -> Result<Self, Error> {
        let mut body = Self {
            file: Arc::new(file),
            next: bytes.start,
            end: bytes.end,
            read: None,
            reading: None,
            _room: room,
        };
        let first = body.read_chunk().await.map_err(io::Error::other).flatten();
        body.read = Some(first.map_err(Error::Read)?);
        Ok(body)
    }

    fn read_chunk(&self) -> JoinHandle<io::Result<Bytes>> {
        let (file, next) = (Arc::clone(&self.file), self.next);
        let length = CHUNK.min(self.end - self.next);
        tokio::task::spawn_blocking(move || read_exact_at(&file, next, length).map(Bytes::from))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if let Some(read) = self.read.take() {
            return Poll::Ready(Ok(read));
        }
        let mut reading = self.reading.take().unwrap_or_else(|| self.read_chunk());
        let polled = Pin::new(&mut reading).poll(cx);
        if polled.is_pending() {
            self.reading = Some(reading);
        }
        polled.map(|read| read.map_err(io::Error::other).flatten())
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.poll_read(cx))?;
        self.next += chunk.len() as u64;
        if !self.is_end_stream() {
            self.reading = Some(self.read_chunk());
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.next == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.next)
    }
}

/// Reads `length` bytes at `offset`, all of them or an error: a file that shrank must not pass for a shorter one.
fn read_exact_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut chunk = Vec::with_capacity(length);
    while chunk.len() < length {
        let at = offset + chunk.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut chunk), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(chunk)
}
