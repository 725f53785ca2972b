//! Every error of `sandbox-local`, and its form on the wire.

use std::io;
use std::path::PathBuf;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sandbox_protocol::{ErrorBody, ErrorCode, Invalid};

/// An error of `sandbox-local`. One table, [`Error::parts`], has the status and the code of each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// There is no such route.
    #[error("no such route")]
    NoRoute,
    /// The route exists, but not with this method.
    #[error("this method is not allowed here")]
    Method,
    /// bubblewrap is not installed.
    #[error("bubblewrap is missing: there is no `bwrap` in PATH")]
    NoBubblewrap,
    /// The sandbox did not start. The text says how its processes ended and has the end of their
    /// output.
    #[error("the sandbox could not be started: {0}")]
    Boot(String),
    /// The maximum of running sandboxes is reached.
    #[error("the limit of {0} running sandboxes is reached")]
    Full(usize),
    /// `sandbox-local` is shutting down.
    #[error("the local runtime is shutting down")]
    ShuttingDown,
    /// The state directory cannot be used.
    #[error("cannot use the state directory {}: {source}", path.display())]
    StateDir {
        /// The directory, or the entry of it that caused the error.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another `sandbox-local` uses the state directory.
    #[error("the state directory {} is in use by another sandbox-local (process {owner})", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process id of the other one, from the lock file.
        owner: String,
    },
}

impl Error {
    /// The status and the code of this error.
    pub fn parts(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest),
            Self::NoRoute => (StatusCode::NOT_FOUND, ErrorCode::NotFound),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed),
            Self::NoBubblewrap | Self::Boot(_) => (StatusCode::BAD_GATEWAY, ErrorCode::SandboxUnavailable),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::CapacityExceeded),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::SandboxUnavailable),
            Self::StateDir { .. } | Self::Locked { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::InternalError)
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        (status, Json(ErrorBody::new(code, self.to_string()))).into_response()
    }
}
