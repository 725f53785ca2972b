//! The errors of `sandboxd`, and their responses.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustix::io::Errno;
use sandbox_protocol::error::retry_after;
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{ErrorBody, ErrorCode, Invalid};

/// An error of `sandboxd`. One table, [`Error::parts`], says which status and code each one is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// No route of `sandboxd` has this path and method.
    #[error("no such route: {0}")]
    NoRoute(String),
    /// The route has other methods.
    #[error("method not allowed: {0}")]
    Method(String),
    /// There is no such file.
    #[error("File not found: {0}")]
    FileNotFound(String),
    /// The path names a directory where a file is needed.
    #[error("{0} is a directory")]
    IsDirectory(String),
    /// The server's user may not read or write there.
    #[error("permission denied: {0}")]
    Denied(String),
    /// The body is larger than the caller allowed.
    #[error("payload too large: the limit is {limit} bytes")]
    TooLarge {
        /// The most bytes allowed.
        limit: u64,
    },
    /// A limit is reached; nothing was started.
    #[error("too many {what}: the limit is {} ({})", limit.value, limit.name)]
    Limit {
        /// The things that there are too many of, in the plural.
        what: &'static str,
        /// The limit.
        limit: Limit,
    },
    /// The request's body stood still for too long.
    #[error("the request's body stood still for {} ms ({})", .0.value, .0.name)]
    Late(Limit),
    /// The request does not carry the secret of this boot.
    #[error("Unauthorized")]
    Unauthorized,
    /// The file has none of the bytes that `Range` asks for.
    #[error("range not satisfiable: the file has {size} bytes")]
    Range {
        /// The file's size in bytes.
        size: u64,
    },
    /// A command could not be started for a reason that is not the command's own.
    #[error("exec failed: {0}")]
    Exec(#[source] io::Error),
    /// A session cannot be made, used or deleted.
    #[error("{0}")]
    Session(String),
    /// There is a session with this id, created with another cwd or env.
    #[error("there is a session {0} with another cwd or env")]
    SessionExists(String),
    /// There is no such session.
    #[error("there is no session {0}")]
    SessionNotFound(String),
    /// A tunnel could not be opened; the text says why.
    #[error("tunnel failed: {0}")]
    Tunnel(String),
    /// A file could not be read.
    #[error("read failed: {0}")]
    Read(#[source] io::Error),
    /// The workspace could not be read for an archive.
    #[error("persist failed: {0}")]
    Persist(#[source] io::Error),
    /// A bucket could not be mounted.
    #[error("mount failed: {0}")]
    Mount(String),
    /// A bucket could not be unmounted.
    #[error("unmount failed: {0}")]
    Unmount(String),
    /// The request is for something that only the caller could do.
    #[error("not supported: {0}")]
    NotSupported(String),
    /// A file could not be written.
    #[error("write failed: {0}")]
    Write(#[source] io::Error),
}

impl Error {
    /// The status and the code of this error.
    pub fn parts(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::Invalid(e) => (
                StatusCode::from_u16(e.status()).unwrap_or(StatusCode::BAD_REQUEST),
                ErrorCode::InvalidRequest,
            ),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, ErrorCode::NotFound),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed),
            Self::FileNotFound(_) => (StatusCode::NOT_FOUND, ErrorCode::WorkspaceReadNotFound),
            Self::IsDirectory(_) => (StatusCode::BAD_REQUEST, ErrorCode::IsDirectory),
            Self::Denied(_) => (StatusCode::FORBIDDEN, ErrorCode::InvalidRequest),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge),
            Self::Limit { .. } => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::LimitExceeded),
            Self::Late(_) => (StatusCode::REQUEST_TIMEOUT, ErrorCode::RequestTimeout),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized),
            Self::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeNotSatisfiable),
            Self::Exec(_) => (StatusCode::BAD_GATEWAY, ErrorCode::ExecError),
            Self::Session(_) => (StatusCode::BAD_GATEWAY, ErrorCode::SessionError),
            Self::SessionExists(_) => (StatusCode::CONFLICT, ErrorCode::SessionExists),
            Self::SessionNotFound(_) => (StatusCode::NOT_FOUND, ErrorCode::SessionNotFound),
            Self::Tunnel(_) => (StatusCode::BAD_GATEWAY, ErrorCode::TunnelError),
            Self::Read(_) => (StatusCode::BAD_GATEWAY, ErrorCode::ExecTransportError),
            Self::Persist(_) => (StatusCode::BAD_GATEWAY, ErrorCode::WorkspaceArchiveReadError),
            Self::Mount(_) => (StatusCode::BAD_GATEWAY, ErrorCode::MountError),
            Self::Unmount(_) => (StatusCode::BAD_GATEWAY, ErrorCode::UnmountError),
            Self::NotSupported(_) => (StatusCode::NOT_IMPLEMENTED, ErrorCode::NotSupported),
            Self::Write(e) if is_full(e) => (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::NoSpace),
            Self::Write(_) => (StatusCode::BAD_GATEWAY, ErrorCode::WorkspaceArchiveWriteError),
        }
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::NOSPC | Errno::DQUOT))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        let mut response = (status, Json(ErrorBody::new(code, self.to_string()))).into_response();
        match self {
            Self::Range { size } => set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}")),
            Self::Limit { .. } => set(
                &mut response,
                header::RETRY_AFTER,
                &retry_after(random()).to_string(),
            ),
            _ => {}
        }
        response
    }
}

/// A random number from 0 to 1, from the key of a hash map.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
