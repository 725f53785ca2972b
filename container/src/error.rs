//! The errors of `sandboxd`, and their responses.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustix::io::Errno;
use sandbox_protocol::error::ERROR_HEADER;
use sandbox_protocol::file::EditMismatch;
use sandbox_protocol::limits::Limit;
use sandbox_protocol::retry_after::retry_after_seconds;
use sandbox_protocol::{ErrorBody, ErrorCode, Invalid};
use serde::Serialize;

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
    /// There is no such file or directory.
    #[error("no such file or directory: {0}")]
    NoEntry(String),
    /// Something exists at the path.
    #[error("{0} exists")]
    FileExists(String),
    /// The text of an edit does not occur exactly once.
    #[error("the text of edit {} occurs {} times in {}", .0.edit, .0.found, .0.path)]
    EditMismatch(EditMismatch),
    /// The file is not the one that the request is for.
    #[error("{0} has changed, or does not exist: the condition of the request does not hold")]
    Precondition(String),
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
    /// There is a session with this id, created with another cwd, env or timeout_ms.
    #[error("there is a session {0} with another cwd, env or timeout_ms")]
    SessionExists(String),
    /// There is no such session.
    #[error("there is no session {0}")]
    SessionNotFound(String),
    /// The end of a command is not known.
    #[error("{}", .0.error)]
    Failed(ErrorBody),
    /// There is no such context.
    #[error("there is no context {0}")]
    ContextNotFound(String),
    /// The id is that of a context from another request.
    #[error("there is a context {0} from another request")]
    ContextExists(String),
    /// The kernel of a context has ended. The text has the reason.
    #[error("{0}")]
    ContextLost(String),
    /// There is no such process.
    #[error("there is no process {0}")]
    ProcessNotFound(String),
    /// The id is that of another process.
    #[error("there is a process {0} from another request")]
    ProcessExists(String),
    /// The process has ended.
    #[error("the process {0} has ended")]
    ProcessEnded(String),
    /// The standard input has another offset.
    #[error("the next byte of the standard input has the offset {0}")]
    StdinOffset(u64),
    /// The standard input is closed. The number is that of the bytes before.
    #[error("the standard input is closed, after {0} bytes")]
    StdinClosed(u64),
    /// A checkout failed.
    #[error("{}", .0.error)]
    Git(ErrorBody),
    /// A tunnel could not be opened; the text says why.
    #[error("tunnel failed: {0}")]
    Tunnel(String),
    /// No process listens on the port.
    #[error("nothing listens on port {0} of the sandbox")]
    PortNotListening(u16),
    /// The exposure of the port by which the client visits it is valid no longer.
    #[error("there is no preview at this address, or no longer")]
    InvalidToken,
    /// The server on a port could not be connected to, or did not answer with HTTP.
    #[error("{0}")]
    Port(String),
    /// A file could not be read.
    #[error("read failed: {0}")]
    Read(#[source] io::Error),
    /// The workspace could not be read for an archive.
    #[error("persist failed: {0}")]
    Persist(#[source] io::Error),
    /// A directory could not be saved.
    #[error("save failed: {0}")]
    Snapshot(String),
    /// An archive is not the one that was saved. Nothing was changed.
    #[error("nothing was restored: {0}")]
    RestoreIncomplete(String),
    /// The directory cannot be replaced.
    #[error("{0}")]
    RestoreConflict(String),
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
    /// The error of a file that could not be written.
    pub fn from_errno(errno: Errno) -> Self {
        Self::Write(errno.into())
    }

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
            Self::NoEntry(_) => (StatusCode::NOT_FOUND, ErrorCode::FileNotFound),
            Self::FileExists(_) => (StatusCode::CONFLICT, ErrorCode::FileExists),
            Self::EditMismatch(_) => (StatusCode::CONFLICT, ErrorCode::EditMismatch),
            Self::Precondition(_) => (StatusCode::PRECONDITION_FAILED, ErrorCode::PreconditionFailed),
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
            Self::Failed(body) => {
                let status = match body.code {
                    ErrorCode::ContextLost => StatusCode::GONE,
                    _ => StatusCode::BAD_GATEWAY,
                };
                (status, body.code)
            }
            Self::ContextNotFound(_) => (StatusCode::NOT_FOUND, ErrorCode::ContextNotFound),
            Self::ContextExists(_) => (StatusCode::CONFLICT, ErrorCode::ContextExists),
            Self::ContextLost(_) => (StatusCode::GONE, ErrorCode::ContextLost),
            Self::ProcessNotFound(_) => (StatusCode::NOT_FOUND, ErrorCode::ProcessNotFound),
            Self::ProcessExists(_) => (StatusCode::CONFLICT, ErrorCode::ProcessExists),
            Self::ProcessEnded(_) => (StatusCode::CONFLICT, ErrorCode::ProcessEnded),
            Self::StdinOffset(_) => (StatusCode::CONFLICT, ErrorCode::StdinOffset),
            Self::StdinClosed(_) => (StatusCode::CONFLICT, ErrorCode::StdinClosed),
            Self::Git(body) => {
                let status = match body.code {
                    ErrorCode::GitTargetExists => StatusCode::CONFLICT,
                    ErrorCode::NotSupported => StatusCode::NOT_IMPLEMENTED,
                    _ => StatusCode::BAD_GATEWAY,
                };
                (status, body.code)
            }
            Self::Tunnel(_) => (StatusCode::BAD_GATEWAY, ErrorCode::TunnelError),
            Self::PortNotListening(_) => (StatusCode::BAD_GATEWAY, ErrorCode::PortNotListening),
            Self::InvalidToken => (StatusCode::NOT_FOUND, ErrorCode::InvalidToken),
            Self::Port(_) => (StatusCode::BAD_GATEWAY, ErrorCode::PortError),
            Self::Read(_) => (StatusCode::BAD_GATEWAY, ErrorCode::ExecTransportError),
            Self::Persist(_) => (StatusCode::BAD_GATEWAY, ErrorCode::WorkspaceArchiveReadError),
            Self::Snapshot(_) => (StatusCode::BAD_GATEWAY, ErrorCode::SnapshotError),
            Self::RestoreIncomplete(_) => (StatusCode::CONFLICT, ErrorCode::RestoreIncomplete),
            Self::RestoreConflict(_) => (StatusCode::CONFLICT, ErrorCode::RestoreConflict),
            Self::Mount(_) => (StatusCode::BAD_GATEWAY, ErrorCode::MountError),
            Self::Unmount(_) => (StatusCode::BAD_GATEWAY, ErrorCode::UnmountError),
            Self::NotSupported(_) => (StatusCode::NOT_IMPLEMENTED, ErrorCode::NotSupported),
            Self::Write(e) if is_full(e) => (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::NoSpace),
            Self::Write(_) => (StatusCode::BAD_GATEWAY, ErrorCode::WorkspaceArchiveWriteError),
        }
    }
}

impl Error {
    /// The body of its response.
    pub fn body(&self) -> ErrorBody {
        ErrorBody::new(self.parts().1, self.to_string())
    }

    /// Its response where the answers of a server of the sandbox go the same way: it has the header
    /// [`ERROR_HEADER`].
    pub fn into_response_beside_server(self) -> Response {
        let code = self.parts().1.to_string();
        let mut response = self.into_response();
        set(&mut response, HeaderName::from_static(ERROR_HEADER), &code);
        response
    }

    /// The body of its response, with the offset of a standard input or the place of an edit.
    pub fn json(&self) -> impl Serialize + use<> {
        ErrorJson {
            body: self.body(),
            offset: match self {
                Self::StdinOffset(offset) | Self::StdinClosed(offset) => Some(*offset),
                _ => None,
            },
            mismatch: match self {
                Self::EditMismatch(mismatch) => Some(mismatch.clone()),
                _ => None,
            },
        }
    }
}

#[derive(Serialize)]
struct ErrorJson {
    #[serde(flatten)]
    body: ErrorBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(flatten)]
    mismatch: Option<EditMismatch>,
}

fn is_full(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::NOSPC | Errno::DQUOT))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.parts().0, Json(self.json())).into_response();
        match self {
            Self::Range { size } => set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}")),
            Self::Limit { .. } => set(
                &mut response,
                header::RETRY_AFTER,
                &retry_after_seconds(random()).to_string(),
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
