//! Everything that can go wrong in `sandboxd`, and how a client is told.

use std::io;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustix::io::Errno;
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
    /// The file has none of the bytes that `Range` asks for.
    #[error("range not satisfiable: the file has {size} bytes")]
    Range {
        /// The file's size in bytes.
        size: u64,
    },
    /// A command could not be started for a reason that is not the command's own.
    #[error("exec failed: {0}")]
    Exec(#[source] io::Error),
    /// A file could not be read.
    #[error("read failed: {0}")]
    Read(#[source] io::Error),
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
            Self::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeNotSatisfiable),
            Self::Exec(_) => (StatusCode::BAD_GATEWAY, ErrorCode::ExecError),
            Self::Read(_) => (StatusCode::BAD_GATEWAY, ErrorCode::ExecTransportError),
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
        if let Self::Range { size } = self {
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
        response
    }
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
