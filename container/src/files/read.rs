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
use rustix::fs::OFlags;
use rustix::io::Errno;
use sandbox_protocol::{FilePath, Invalid, sandboxd};
use tokio::task::JoinHandle;

use super::range::Part;
use super::validators::Validators;
use super::workspace::Workspace;
use super::{blocking, path_error};
use crate::error::Error;
use crate::off_runtime::OffRuntime;
use crate::paths::{Last, reopen};
use crate::quota::BufferPermit;

/// The most bytes of one read. A response holds two chunks: one being sent, one being read.
const CHUNK: u64 = 512 * 1024;

/// The largest file that is read when it is opened.
const SMALL: u64 = 16 * 1024;

/// Answers `GET` and `HEAD`. The body has the announced length: bytes appended meanwhile are left
/// out, and when the file shrinks the connection breaks off.
pub(super) async fn read(
    State(workspace): State<Arc<Workspace>>,
    method: Method,
    uri: Uri,
    request: HeaderMap,
) -> Result<Response, Error> {
    let path = workspace.requested(&uri, sandboxd::FILE)?;
    let is_directory_name = uri.path().ends_with('/');
    let buffers = workspace.buffers.clone();
    let opened = blocking(Error::Read, move || {
        let opened = open(&workspace, &path)?;
        // As in POSIX: a path that ends in a slash names a directory, and there is none.
        match is_directory_name {
            true => Err(Error::FileNotFound(format!("{path}/"))),
            false => Ok(opened),
        }
    });
    let Opened {
        content,
        size,
        validators,
    } = opened.await?;

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
    let body = match content {
        Content::Whole(whole) => Body::from(whole.slice(bytes.start as usize..bytes.end as usize)),
        Content::File(file) => {
            let permit = buffers.take((bytes.end - bytes.start).min(2 * CHUNK))?;
            Body::new(FileBody::start(file, bytes, permit).await?)
        }
    };
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

/// An open file.
struct Opened {
    content: Content,
    /// Its size in bytes.
    size: u64,
    validators: Validators,
}

enum Content {
    /// All its bytes. It is small: to read them in a job of their own would take longer.
    Whole(Bytes),
    File(OffRuntime<File>),
}

/// Opens the regular file that `path` names.
fn open(workspace: &Workspace, path: &FilePath) -> Result<Opened, Error> {
    let refused = |errno| match errno {
        Errno::NOENT | Errno::NOTDIR => Error::FileNotFound(path.to_string()),
        errno => path_error(path, errno, Error::Read),
    };
    let pinned = workspace.roots.find(path, Last::Follow).map_err(refused)?;
    let kind = pinned.metadata().map_err(Error::Read)?.file_type();
    if kind.is_dir() {
        return Err(Error::IsDirectory(path.to_string()));
    }
    if !kind.is_file() {
        return Err(Invalid::request(format!("{path} is not a regular file")).into());
    }
    // The pinned file exists: an ENOENT here would mean that /proc is missing.
    let file = reopen(&pinned, OFlags::RDONLY).map_err(|errno| path_error(path, errno, Error::Read))?;
    let metadata = file.metadata().map_err(Error::Read)?;
    let validators = Validators::new(&metadata, SystemTime::now(), &workspace.unique_mtimes);
    let size = metadata.size();
    // Closed elsewhere: a file in a bucket may not answer that, and the response does not wait.
    let file = OffRuntime::new(file);
    let content = if size <= SMALL {
        Content::Whole(read_exact_at(&file, 0, size).map_err(Error::Read)?.into())
    } else {
        Content::File(file)
    };
    Ok(Opened {
        content,
        size,
        validators,
    })
}

/// The bytes of a file from `next` to `end`. While one chunk is sent the next is read.
struct FileBody {
    /// The open file; `None` once its last chunk is read.
    file: Option<Arc<OffRuntime<File>>>,
    next: u64,
    end: u64,
    read: Option<Bytes>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// The buffer permit of the two chunks.
    _permit: BufferPermit,
}

impl FileBody {
    /// Reads the first chunk, so that a small file leaves in one packet with the response's head,
    /// and a file that cannot be read is an error instead of a broken connection.
    async fn start(file: OffRuntime<File>, bytes: Range<u64>, permit: BufferPermit) -> Result<Self, Error> {
        let mut body = Self {
            file: Some(Arc::new(file)),
            next: bytes.start,
            end: bytes.end,
            read: None,
            reading: None,
            _permit: permit,
        };
        let first = body.read_chunk().await.map_err(io::Error::other).flatten();
        body.read = Some(first.map_err(Error::Read)?);
        Ok(body)
    }

    fn read_chunk(&mut self) -> JoinHandle<io::Result<Bytes>> {
        let next = self.next;
        let length = CHUNK.min(self.end - next);
        let file = match next + length == self.end {
            true => self.file.take(),
            false => self.file.clone(),
        };
        tokio::task::spawn_blocking(move || {
            let file = file.ok_or(io::ErrorKind::UnexpectedEof)?;
            let read = read_exact_at(&file, next, length).map(Bytes::from);
            // The last read closes it here.
            drop(Arc::into_inner(file).map(OffRuntime::into_inner));
            read
        })
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

/// Reads exactly `length` bytes at `offset`. Fails when there are fewer: a file that shrank must
/// not pass for a shorter one.
pub(super) fn read_exact_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
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
