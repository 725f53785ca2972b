//! The errors of an operation.

use sandbox_protocol::ErrorCode;

/// A status and code that an operation can end in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// The code in the body.
    pub code: ErrorCode,
    /// A text that the body can have.
    pub text: &'static str,
}

impl Failure {
    /// The code as it stands in the body.
    pub fn code_name(&self) -> String {
        serde_json::to_value(self.code)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

const fn failure(status: u16, code: ErrorCode, text: &'static str) -> Failure {
    Failure { status, code, text }
}

/// What every operation that takes a key can end in.
pub const GUARDED: &[Failure] = &[
    failure(401, ErrorCode::Unauthorized, "Unauthorized"),
    failure(500, ErrorCode::InternalError, "the platform's own words"),
    failure(
        503,
        ErrorCode::NotConfigured,
        "SANDBOX_API_KEY is not set: set it with `wrangler secret put SANDBOX_API_KEY`",
    ),
];

/// What every operation on a sandbox can end in besides.
pub const OF_SANDBOX: &[Failure] = &[
    failure(400, ErrorCode::InvalidRequest, "Invalid sandbox ID format"),
    failure(
        502,
        ErrorCode::SandboxUnavailable,
        "Container exited with unexpected exit code: 1",
    ),
    failure(
        503,
        ErrorCode::SandboxUnavailable,
        "the connection to the sandbox was lost: Network connection lost.",
    ),
];

/// What every operation that starts a sandbox which does not run can end in besides.
pub const STARTING: &[Failure] = &[
    failure(
        429,
        ErrorCode::RateLimited,
        "You are requesting too many containers per second",
    ),
    failure(
        503,
        ErrorCode::CapacityExceeded,
        "There is no container instance available at this time",
    ),
    failure(
        503,
        ErrorCode::LimitExceeded,
        "too many commands: the limit is 1024 (SANDBOX_MAX_COMMANDS)",
    ),
];

/// What every operation whose body is bytes of any length can end in besides.
pub const UPLOADING: &[Failure] = &[failure(
    408,
    ErrorCode::RequestTimeout,
    "the request's body stood still for 60000 ms (SANDBOX_BODY_TIMEOUT_MS)",
)];
