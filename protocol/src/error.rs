//! The error form of the contract: `{"error": text, "code": code}`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The machine-readable `code` of an error. Those of the contract keep its meaning; the others are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 401: no key, or the wrong one.
    Unauthorized,
    /// 400 or 403: the request itself is wrong; the text names the field.
    InvalidRequest,
    /// 502, or in an `error` event: the command could not be run, or its end is unknown.
    ExecError,
    /// 502, or in an `error` event: the connection to the sandbox broke; 502: a file could not be read.
    ExecTransportError,
    /// 404: no such file.
    WorkspaceReadNotFound,
    /// 502: the workspace could not be read for an archive.
    WorkspaceArchiveReadError,
    /// 502: a file or an archive could not be written.
    WorkspaceArchiveWriteError,
    /// 502, or in an `error` event: a session cannot be made, used or deleted.
    SessionError,
    /// 409: there is such a session, and it started from something else.
    SessionExists,
    /// 404: there is no such session.
    SessionNotFound,
    /// 502: a tunnel could not be opened or closed.
    TunnelError,
    /// 503: the platform has no room for another sandbox.
    CapacityExceeded,
    /// 502: a bucket could not be mounted.
    MountError,
    /// 502: a bucket could not be unmounted.
    UnmountError,
    /// 501: this deployment's runtime cannot do it; the text says why.
    NotSupported,
    /// 503: a limit of the sandbox is reached; the text names it. Nothing was started.
    LimitExceeded,
    /// 408: the request's body stood still for too long.
    RequestTimeout,
    /// 429: the platform is asked for too many sandboxes in a short time.
    RateLimited,
    /// 404: no such route.
    NotFound,
    /// 405: the route exists, but not with this method.
    MethodNotAllowed,
    /// 503: the deployment lacks a key or a binding.
    NotConfigured,
    /// 400: the path names a directory where a file is needed.
    IsDirectory,
    /// 413: the body is over a limit.
    PayloadTooLarge,
    /// 416: the file has no such bytes.
    RangeNotSatisfiable,
    /// 507: the sandbox's disk is full.
    NoSpace,
    /// 502 or 503: the sandbox could not be started, or went away.
    SandboxUnavailable,
    /// 500: a fault of ours.
    InternalError,
}

/// The body of every error response, and the data of an `error` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "ErrorResponse")
)]
pub struct ErrorBody {
    /// What is wrong, for a person.
    pub error: String,
    /// What is wrong, for a program.
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

/// Why input was refused. Every refusal is `invalid_request`; only the status differs.
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
