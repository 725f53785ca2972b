//! The errors of an operation.

use sandbox_protocol::ErrorCode;

/// A status and code of a failed operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// The code in the body.
    pub code: ErrorCode,
    /// An example of the text in the body.
    pub text: &'static str,
}

impl Failure {
    /// The code as it is in the body.
    pub fn code_name(&self) -> String {
        code_name(self.code)
    }
}

/// A code as it is in a body.
pub fn code_name(code: ErrorCode) -> String {
    serde_json::to_value(code)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

const fn failure(status: u16, code: ErrorCode, text: &'static str) -> Failure {
    Failure { status, code, text }
}

/// The text after a lost connection: with 503 if nothing was started, with 502 if that is not
/// known.
pub const LOST: &str = "the connection to the sandbox was lost: Network connection lost.";

/// The text for an id of another form.
pub const BAD_ID: &str = "Invalid sandbox ID format";

/// Errors of every operation that takes a key.
pub const GUARDED: &[Failure] = &[
    failure(401, ErrorCode::Unauthorized, "Unauthorized"),
    failure(500, ErrorCode::InternalError, "the message of the platform"),
    failure(
        503,
        ErrorCode::NotConfigured,
        "SANDBOX_API_KEY is not set: set it with `wrangler secret put SANDBOX_API_KEY`",
    ),
];

/// Additional errors of every operation on a sandbox.
pub const OF_SANDBOX: &[Failure] = &[
    failure(400, ErrorCode::InvalidRequest, BAD_ID),
    failure(
        502,
        ErrorCode::SandboxUnavailable,
        "Container exited with unexpected exit code: 1",
    ),
    failure(503, ErrorCode::SandboxUnavailable, LOST),
];

/// Additional errors of every operation that can start a sandbox.
pub const STARTING: &[Failure] = &[
    failure(
        429,
        ErrorCode::RateLimited,
        "You are requesting too many containers per second",
    ),
    failure(
        409,
        ErrorCode::RestoreIncomplete,
        "the sandbox was not started, because its snapshot could not be restored: there is no snapshot \
         bz7k2m4qhgaytemzugu3doobzmfrggzdfmy",
    ),
    failure(
        503,
        ErrorCode::CapacityExceeded,
        "There is no container instance available at this time",
    ),
];

/// Additional errors of every operation that calls `sandboxd`.
pub const ASKING: &[Failure] = &[failure(
    503,
    ErrorCode::LimitExceeded,
    "too many commands: the limit is 1024 (SANDBOX_MAX_COMMANDS)",
)];

/// Additional errors of every operation whose body is bytes of any length.
pub const UPLOADING: &[Failure] = &[failure(
    408,
    ErrorCode::RequestTimeout,
    "the request's body stood still for 60000 ms (SANDBOX_BODY_TIMEOUT_MS)",
)];
