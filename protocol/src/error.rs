//! The error form of the contract: `{"error": text, "code": code}`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The machine-readable `code` of an error. Codes of the contract keep their meaning; this bridge
/// adds others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 401: no key, or the wrong one.
    Unauthorized,
    /// 403: the token does not permit the operation. The text has the reason.
    Forbidden,
    /// 400 or 403: the request is wrong. The text names the field.
    InvalidRequest,
    /// 502, or in an `error` event: the command could not be run, or its end is unknown.
    ExecError,
    /// 502, or in an `error` event: the connection to the sandbox broke; 502: a file could not be
    /// read.
    ExecTransportError,
    /// 404: no such file.
    WorkspaceReadNotFound,
    /// 502: the workspace could not be read for an archive.
    WorkspaceArchiveReadError,
    /// 502: a file or an archive could not be written.
    WorkspaceArchiveWriteError,
    /// 502, or in an `error` event: a session cannot be created, used or deleted.
    SessionError,
    /// 409: the session exists and was created with another `cwd`, `env` or `timeout_ms`.
    SessionExists,
    /// 404: the sandbox was never created with settings and has never run, or it was destroyed.
    SandboxNotFound,
    /// In an `error` event: the `maxLifetime` of the sandbox ended, and it was destroyed.
    SandboxExpired,
    /// 404: there is no such session.
    SessionNotFound,
    /// 404: there is no such snapshot.
    SnapshotNotFound,
    /// 409: a snapshot could not be restored as a whole. Nothing was changed.
    RestoreIncomplete,
    /// 409: the directory cannot be replaced: a bucket is mounted in it.
    RestoreConflict,
    /// 502: the store of snapshots failed, or a directory could not be saved.
    SnapshotError,
    /// 404: there is no such process.
    ProcessNotFound,
    /// 404: there is no such context.
    ContextNotFound,
    /// 409: there is a context with this id from another request.
    ContextExists,
    /// 410, or in an `error` event: the kernel of the context has ended, and its variables are lost. The
    /// text has the reason.
    ContextLost,
    /// 409: the id is that of another process.
    ProcessExists,
    /// 409: the process has ended.
    ProcessEnded,
    /// 409: the standard input has another offset. The body has the right one.
    StdinOffset,
    /// 409: the standard input of the process is closed.
    StdinClosed,
    /// 502: the git server did not accept the credentials, or wants some.
    GitAuthFailed,
    /// 502: there is no such git repository, or the credentials do not show it.
    GitRepositoryNotFound,
    /// 502: the git repository has no such branch, tag or commit.
    GitRefNotFound,
    /// 502: the git server could not be reached, or the connection to it broke or stalled.
    GitNetworkError,
    /// 502: git failed for another reason.
    GitError,
    /// 409: the directory has files that are no checkout of this repository.
    GitTargetExists,
    /// 502: a tunnel could not be opened or closed.
    TunnelError,
    /// 502: no process of the sandbox listens on the port.
    PortNotListening,
    /// 502: the connection to the server on the port broke before its answer, or its answer is no
    /// HTTP.
    PortError,
    /// 503: the sandbox does not run, and the request does not start it.
    SandboxNotRunning,
    /// 404: the token in the address of a preview is wrong, or valid no longer.
    InvalidToken,
    /// 503: the platform has no capacity for another sandbox.
    CapacityExceeded,
    /// 502: a bucket could not be mounted.
    MountError,
    /// 502: a bucket could not be unmounted.
    UnmountError,
    /// 501: the runtime of this deployment does not support the operation. The text has the reason.
    NotSupported,
    /// 503: a limit of the sandbox is reached. The text names it. Nothing was started.
    LimitExceeded,
    /// 408: no byte of the request's body arrived for too long.
    RequestTimeout,
    /// 429: too many sandboxes were started in a short time.
    RateLimited,
    /// 404: the path does not exist.
    NotFound,
    /// 405: the path exists, but not with this method.
    MethodNotAllowed,
    /// 503: the deployment lacks a key or a binding.
    NotConfigured,
    /// 400: the path names a directory where a file is needed.
    IsDirectory,
    /// 404: no such file or directory.
    FileNotFound,
    /// 409: something exists at the path.
    FileExists,
    /// 409: the text of an edit does not occur exactly once.
    EditMismatch,
    /// 412: the file is not the one that `If-Match` or `If-None-Match` asks for.
    PreconditionFailed,
    /// 413: the body is larger than its limit.
    PayloadTooLarge,
    /// 416: the file does not have the requested bytes.
    RangeNotSatisfiable,
    /// 507: the sandbox's disk is full.
    NoSpace,
    /// 502 or 503: the sandbox could not be started, or the connection to it was lost.
    SandboxUnavailable,
    /// 500: an internal error of the bridge.
    InternalError,
}

/// Writes the code as it is on the wire.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Response header with the code of an error, where the answers of a server of the sandbox go the same
/// way: they do not have it.
pub const ERROR_HEADER: &str = "sandbox-error";

/// The body of every error response, and the data of an `error` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "ErrorResponse")
)]
pub struct ErrorBody {
    /// The error as text, for people.
    pub error: String,
    /// The error as a code, for programs.
    pub code: ErrorCode,
}

impl ErrorBody {
    /// An error body of `code` with the text `error`.
    pub fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            code,
        }
    }
}

/// An error in a request's input. The code is always `invalid_request`; only the status differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    message: String,
    forbidden: bool,
}

impl Invalid {
    /// The input is malformed: 400.
    pub fn request(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            forbidden: false,
        }
    }

    /// The input is well-formed and names something outside /workspace: 403.
    pub fn outside(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            forbidden: true,
        }
    }

    /// The HTTP status: 400 or 403.
    pub fn status(&self) -> u16 {
        if self.forbidden { 403 } else { 400 }
    }

    /// The text for the client.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The response body.
    pub fn body(&self) -> ErrorBody {
        ErrorBody::new(ErrorCode::InvalidRequest, self.message.clone())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}
