//! Where `sandboxd` answers, and what it is told.

use serde::{Deserialize, Serialize};

use crate::WorkspacePath;

/// The version of what `sandboxd` speaks; it says so on [`HEALTH`]. Raised when a change is more than an addition.
pub const PROTOCOL_VERSION: u32 = 1;

/// The port that `sandboxd` listens on inside its container.
pub const PORT: u16 = 3000;

/// `GET`: [`Health`], once `sandboxd` is ready.
pub const HEALTH: &str = "/health";
/// `GET`: [`crate::Activity`].
pub const ACTIVITY: &str = "/activity";
/// `POST` an [`crate::ExecRequest`]: a stream of [`crate::Event`]s.
pub const EXEC: &str = "/exec";
/// `GET`, `HEAD`, `PUT` on `/file/{path}`, the path as [`WorkspacePath::to_url`] writes it.
pub const FILE: &str = "/file/";

/// The path of a file on `sandboxd`.
pub fn file_url(path: &WorkspacePath) -> String {
    format!("{FILE}{}", path.to_url())
}

/// Response header on everything that comes from `sandboxd`: the id of its boot.
pub const BOOT_ID_HEADER: &str = "sandbox-boot-id";
/// Request header of the Worker on uploads: the most bytes that the body may have.
pub const MAX_UPLOAD_HEADER: &str = "sandbox-max-upload-bytes";

/// Request header of the Worker on uploads of unknown length: text that follows the body, no part of it. A body that does
/// not end with it broke off. (On the way to a container the runtime ends a broken chunked body like a whole one.)
pub const END_MARK_HEADER: &str = "sandbox-upload-end-mark";

/// Environment variable with the boot id, set by whoever starts `sandboxd`.
pub const BOOT_ID_ENV: &str = "SANDBOX_BOOT_ID";
/// Environment variable with the user that commands run as; absent: the user of `sandboxd`.
pub const USER_ENV: &str = "SANDBOX_USER";

/// The answer of [`HEALTH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always true: a `sandboxd` that is not ready does not answer.
    pub ok: bool,
    /// [`PROTOCOL_VERSION`] of the `sandboxd` that answers.
    #[serde(default)]
    pub protocol_version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form() {
        let health = Health {
            ok: true,
            protocol_version: PROTOCOL_VERSION,
        };
        assert_eq!(
            serde_json::to_string(&health).unwrap(),
            r#"{"ok":true,"protocol_version":1}"#
        );
        assert_eq!(
            file_url(&WorkspacePath::parse("path", "a b").unwrap()),
            "/file/workspace/a%20b"
        );
    }
}
