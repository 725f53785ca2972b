//! What a Sandbox object asks of `sandbox-local`, the runtime of `npm start` and the tests.
//!
//! All paths hang below the runtime's URL, which carries its secret: `http://127.0.0.1:PORT/SECRET`.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /sandbox/{id}` with [`Start`] | 200 [`Status`] of the boot that runs now, started if there was none; 503 `capacity_exceeded` when no more may run |
//! | `GET /sandbox/{id}` | 200 [`Status`] |
//! | `GET /sandbox/{id}/exit?boot={boot id}` | 200 [`Status`] once that boot has ended (at once when it is not the one that runs) |
//! | `POST /sandbox/{id}/stop` | 204; SIGTERM was sent to `sandboxd`, if it runs |
//! | `DELETE /sandbox/{id}` | 204; nothing of the sandbox is left |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Worker variable with the runtime's URL; absent in a deployment.
pub const RUNTIME_URL_VAR: &str = "SANDBOX_RUNTIME_URL";

/// The body of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The id of the boot, made up by the Sandbox object.
    pub boot_id: String,
    /// Environment of `sandboxd`, the boot id aside.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// What is known of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The boot that runs, if one does.
    pub running: Option<Boot>,
    /// How the last boot ended, in words, when none runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
}

/// A `sandboxd` that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The id it was started with.
    pub boot_id: String,
    /// The TCP address of this machine where it is reached, `127.0.0.1:PORT`.
    pub address: String,
}

/// The path of a sandbox below the runtime's URL.
pub fn sandbox_path(id: &crate::SandboxId) -> String {
    format!("/sandbox/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms() {
        let start = Start {
            boot_id: "b".into(),
            env: [("A".to_owned(), "1".to_owned())].into(),
        };
        assert_eq!(
            serde_json::to_string(&start).unwrap(),
            r#"{"boot_id":"b","env":{"A":"1"}}"#
        );
        let running = Status {
            running: Some(Boot {
                boot_id: "b".into(),
                address: "127.0.0.1:9".into(),
            }),
            last_exit: None,
        };
        assert_eq!(
            serde_json::to_string(&running).unwrap(),
            r#"{"running":{"boot_id":"b","address":"127.0.0.1:9"}}"#
        );
        let ended: Status = serde_json::from_str(r#"{"running":null,"last_exit":"signal 9"}"#).unwrap();
        assert_eq!(
            ended,
            Status {
                running: None,
                last_exit: Some("signal 9".into())
            }
        );
    }
}
