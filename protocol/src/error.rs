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
    /// 409: the session exists and was created with another `cwd` or `env`.
    SessionExists,
    /// 404: there is no such session.
    SessionNotFound,
    /// 502: a tunnel could not be opened or closed.
    TunnelError,
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

/// The shortest and the longest time after which a client is to try again, in seconds.
const RETRY_AFTER: (u32, u32) = (1, 3);

/// The value of the header `Retry-After`, in seconds. `random`, from 0 to 1, spreads the clients
/// that failed at the same time.
pub fn retry_after(random: f64) -> u32 {
    let (shortest, longest) = RETRY_AFTER;
    let jitter = (random * f64::from(longest - shortest + 1)) as u32;
    longest.min(shortest + jitter)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_to_come_back_at_different_times() {
        assert_eq!([0.0, 0.34, 0.67, 0.99, 1.0].map(retry_after), [1, 2, 3, 3, 3]);
    }
}
