//! Every error of the Worker, and its form on the wire.

use sandbox_protocol::retry_after::retry_after_seconds;
use sandbox_protocol::{
    ContextId, ErrorBody, ErrorCode, FilePath, Invalid, ProcessId, SandboxId, SessionId, SnapshotId,
};

/// An error of the Worker or of a Sandbox object. One table, [`ApiError::parts`], has the status
/// and the code of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The request itself is wrong: 400, or 403 for a path outside the workspace.
    Invalid(Invalid),
    /// No key, or the wrong one.
    Unauthorized,
    /// The token does not permit the operation; the text is the reason.
    Forbidden(String),
    /// A web page of another origin calls a bridge without a key.
    CrossOrigin,
    /// The deployment lacks a setting; the text says which, and how to set it.
    NotConfigured(String),
    /// There is no such route.
    NotFound,
    /// The route exists, with these methods.
    MethodNotAllowed(String),
    /// The body is over `limit` bytes.
    TooLarge {
        /// The maximum of bytes.
        limit: u64,
    },
    /// A tunnel cannot be opened or closed; the text is the reason.
    Tunnel(String),
    /// A bucket cannot be mounted.
    Mount(String),
    /// A bucket cannot be unmounted.
    Unmount(String),
    /// The sandbox never was, or was destroyed.
    SandboxNotFound(SandboxId),
    /// There is no such session.
    SessionNotFound(SessionId),
    /// There is no such file or directory.
    FileNotFound(FilePath),
    /// There is no such file, in the words of the first version of the API.
    WorkspaceFileNotFound(String),
    /// The path names a directory where a file is needed.
    IsDirectory(String),
    /// There is no such context.
    ContextNotFound(ContextId),
    /// There is no such process.
    ProcessNotFound(ProcessId),
    /// There is no such snapshot.
    SnapshotNotFound(SnapshotId),
    /// A snapshot could not be restored as a whole; nothing was changed. The text is the reason.
    RestoreIncomplete(String),
    /// The store of snapshots failed, or a directory could not be saved; the text is the reason.
    Snapshot(String),
    /// The default session cannot be deleted.
    DefaultSession,
    /// The runtime of this deployment does not support the operation.
    NotSupported(String),
    /// The token in the address of a preview is wrong, or valid no longer.
    InvalidToken,
    /// The sandbox does not run, and the request does not start it.
    NotRunning(SandboxId),
    /// The sandbox cannot be reached now; nothing was started, and a retry may help.
    Unavailable(String),
    /// The connection was lost after the request was sent; its outcome is unknown. The code is that
    /// of its route.
    ConnectionLost(ErrorCode, String),
    /// The platform has no capacity for another sandbox now.
    Capacity(String),
    /// Too many sandboxes were requested from the platform in a short time.
    Rate(String),
    /// The sandbox cannot be started, and a retry alone will not help.
    StartFailed(String),
    /// An error that an object or `sandboxd` has answered with: its status and body.
    Answered(u16, ErrorBody),
    /// A fault of Sandbar.
    Internal(String),
}

impl ApiError {
    /// Status and code.
    pub fn parts(&self) -> (u16, ErrorCode) {
        match self {
            Self::Invalid(e) => (e.status(), ErrorCode::InvalidRequest),
            Self::Unauthorized | Self::CrossOrigin => (401, ErrorCode::Unauthorized),
            Self::Forbidden(_) => (403, ErrorCode::Forbidden),
            Self::NotConfigured(_) => (503, ErrorCode::NotConfigured),
            Self::NotFound => (404, ErrorCode::NotFound),
            Self::MethodNotAllowed(_) => (405, ErrorCode::MethodNotAllowed),
            Self::TooLarge { .. } => (413, ErrorCode::PayloadTooLarge),
            Self::Tunnel(_) => (502, ErrorCode::TunnelError),
            Self::Mount(_) => (502, ErrorCode::MountError),
            Self::Unmount(_) => (502, ErrorCode::UnmountError),
            Self::SandboxNotFound(_) => (404, ErrorCode::SandboxNotFound),
            Self::SessionNotFound(_) => (404, ErrorCode::SessionNotFound),
            Self::FileNotFound(_) => (404, ErrorCode::FileNotFound),
            Self::WorkspaceFileNotFound(_) => (404, ErrorCode::WorkspaceReadNotFound),
            Self::IsDirectory(_) => (400, ErrorCode::IsDirectory),
            Self::ContextNotFound(_) => (404, ErrorCode::ContextNotFound),
            Self::ProcessNotFound(_) => (404, ErrorCode::ProcessNotFound),
            Self::SnapshotNotFound(_) => (404, ErrorCode::SnapshotNotFound),
            Self::RestoreIncomplete(_) => (409, ErrorCode::RestoreIncomplete),
            Self::Snapshot(_) => (502, ErrorCode::SnapshotError),
            Self::DefaultSession => (502, ErrorCode::SessionError),
            Self::NotSupported(_) => (501, ErrorCode::NotSupported),
            Self::InvalidToken => (404, ErrorCode::InvalidToken),
            Self::NotRunning(_) => (503, ErrorCode::SandboxNotRunning),
            Self::Unavailable(_) => (503, ErrorCode::SandboxUnavailable),
            Self::ConnectionLost(code, _) => (502, *code),
            Self::Capacity(_) => (503, ErrorCode::CapacityExceeded),
            Self::Rate(_) => (429, ErrorCode::RateLimited),
            Self::StartFailed(_) => (502, ErrorCode::SandboxUnavailable),
            Self::Answered(status, body) => (*status, body.code),
            Self::Internal(_) => (500, ErrorCode::InternalError),
        }
    }

    /// The response body.
    pub fn body(&self) -> ErrorBody {
        let text = match self {
            Self::Invalid(e) => e.message().to_owned(),
            Self::Unauthorized => "Unauthorized".to_owned(),
            Self::NotFound => "no such route".to_owned(),
            Self::MethodNotAllowed(allow) => format!("method not allowed; this route takes {allow}"),
            Self::Answered(_, body) => body.error.clone(),
            Self::TooLarge { limit } => format!("payload too large: the limit is {limit} bytes"),
            Self::Tunnel(text) => format!("tunnel failed: {text}"),
            Self::Mount(text) => format!("mount failed: {text}"),
            Self::Unmount(text) => format!("unmount failed: {text}"),
            Self::SandboxNotFound(id) => {
                format!("there is no sandbox {id}: nothing was done with it yet, or it was destroyed")
            }
            Self::SessionNotFound(session) => format!("there is no session {session}"),
            Self::FileNotFound(path) => format!("no such file or directory: {path}"),
            Self::WorkspaceFileNotFound(path) => format!("File not found: {path}"),
            Self::IsDirectory(path) => format!("{path} is a directory"),
            Self::ContextNotFound(context) => format!("there is no context {context}"),
            Self::ProcessNotFound(process) => format!("there is no process {process}"),
            Self::SnapshotNotFound(snapshot) => format!("there is no snapshot {snapshot}"),
            Self::InvalidToken => "there is no preview at this address, or no longer".to_owned(),
            Self::NotRunning(id) => {
                format!("the sandbox {id} does not run, and requests to its ports do not start it")
            }
            Self::DefaultSession => "the default session cannot be deleted".to_owned(),
            Self::CrossOrigin => {
                "Unauthorized: without a key (SANDBOX_API_KEY), no web page of another origin is served"
                    .to_owned()
            }
            Self::Forbidden(text)
            | Self::NotConfigured(text)
            | Self::NotSupported(text)
            | Self::RestoreIncomplete(text)
            | Self::Snapshot(text)
            | Self::Capacity(text)
            | Self::Rate(text)
            | Self::Unavailable(text)
            | Self::ConnectionLost(_, text)
            | Self::StartFailed(text)
            | Self::Internal(text) => text.clone(),
        };
        ErrorBody::new(self.parts().1, text)
    }

    /// The header that goes with the status, if it has one.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Unauthorized | Self::CrossOrigin => Some(("www-authenticate", "Bearer".to_owned())),
            Self::MethodNotAllowed(allow) => Some(("allow", allow.clone())),
            _ => None,
        }
    }

    /// The seconds after which a client may retry, for the header `Retry-After`, if a retry may
    /// help. `random`, from 0 to 1, spreads clients that failed at the same time.
    pub fn retry_after_seconds(&self, random: f64) -> Option<u32> {
        match self {
            Self::Unavailable(_) | Self::Capacity(_) | Self::Rate(_) | Self::Answered(503, _) => {
                Some(retry_after_seconds(random))
            }
            _ => None,
        }
    }
}

impl From<Invalid> for ApiError {
    fn from(e: Invalid) -> Self {
        Self::Invalid(e)
    }
}

impl From<worker::Error> for ApiError {
    fn from(e: worker::Error) -> Self {
        Self::Internal(e.to_string())
    }
}

impl From<wasm_bindgen::JsValue> for ApiError {
    fn from(e: wasm_bindgen::JsValue) -> Self {
        Self::from(worker::Error::from(e))
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(e: serde_json::Error) -> Self {
        Self::Internal(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms() {
        for (error, status, json) in [
            (
                ApiError::Unauthorized,
                401,
                r#"{"error":"Unauthorized","code":"unauthorized"}"#,
            ),
            (
                ApiError::NotFound,
                404,
                r#"{"error":"no such route","code":"not_found"}"#,
            ),
            (
                ApiError::MethodNotAllowed("GET, HEAD".into()),
                405,
                r#"{"error":"method not allowed; this route takes GET, HEAD","code":"method_not_allowed"}"#,
            ),
            (
                ApiError::TooLarge { limit: 5 },
                413,
                r#"{"error":"payload too large: the limit is 5 bytes","code":"payload_too_large"}"#,
            ),
            (
                ApiError::Unavailable("x".into()),
                503,
                r#"{"error":"x","code":"sandbox_unavailable"}"#,
            ),
            (
                ApiError::Tunnel("x".into()),
                502,
                r#"{"error":"tunnel failed: x","code":"tunnel_error"}"#,
            ),
            (
                ApiError::NotConfigured("x".into()),
                503,
                r#"{"error":"x","code":"not_configured"}"#,
            ),
            (
                Invalid::outside("x").into(),
                403,
                r#"{"error":"x","code":"invalid_request"}"#,
            ),
        ] {
            assert_eq!(error.parts().0, status);
            assert_eq!(serde_json::to_string(&error.body()).unwrap(), json);
        }
    }

    #[test]
    fn headers_that_http_requires() {
        assert_eq!(
            ApiError::MethodNotAllowed("PUT".into()).header(),
            Some(("allow", "PUT".into()))
        );
        assert_eq!(
            ApiError::Unauthorized.header(),
            Some(("www-authenticate", "Bearer".into()))
        );
        assert_eq!(ApiError::NotFound.header(), None);
    }

    #[test]
    fn only_errors_that_may_go_away_have_retry_after() {
        assert_eq!(
            ApiError::Unavailable(String::new()).retry_after_seconds(0.0),
            Some(1)
        );
        assert_eq!(
            ApiError::StartFailed(String::new()).retry_after_seconds(0.0),
            None
        );
    }
}
