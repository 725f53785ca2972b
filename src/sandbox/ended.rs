//! How a boot ended.

use super::platform_error::{self, Kind};
use crate::error::ApiError;

/// The end of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The kind of the failure, for a start that waited for the boot.
    pub kind: Kind,
    /// The reason, as text.
    pub reason: String,
}

impl Ended {
    /// The boot exited, for this reason.
    pub fn exited(reason: String) -> Self {
        Self {
            kind: Kind::Exited,
            reason,
        }
    }

    /// The error for a client that waited for the boot.
    pub fn error(&self) -> ApiError {
        platform_error::to_api_error(self.kind, format!("the sandbox ended: {}", self.reason))
    }
}
