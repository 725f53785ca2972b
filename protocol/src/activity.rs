//! The answer of `GET /activity` of `sandboxd`.

use serde::{Deserialize, Serialize};

/// Whether a sandbox is in use. The Sandbox object asks before it puts one to sleep: only
/// `sandboxd` knows what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    /// Commands that run now, including those whose client has left.
    pub commands: u64,
    /// Requests that are being answered now: file transfers and streams, without `/health` and
    /// `/activity`.
    pub requests: u64,
    /// Milliseconds since the last command or request ended; 0 while there is one.
    pub idle_ms: u64,
    /// Milliseconds since `sandboxd` started.
    pub uptime_ms: u64,
}

impl Activity {
    /// Whether something runs or is attached.
    pub fn is_busy(&self) -> bool {
        self.commands > 0 || self.requests > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form() {
        let activity = Activity {
            commands: 1,
            requests: 2,
            idle_ms: 0,
            uptime_ms: 99,
        };
        let wire = r#"{"commands":1,"requests":2,"idle_ms":0,"uptime_ms":99}"#;
        assert_eq!(serde_json::to_string(&activity).unwrap(), wire);
        assert_eq!(serde_json::from_str::<Activity>(wire).unwrap(), activity);
    }

    #[test]
    fn an_older_or_newer_sandboxd_is_understood() {
        let older: Activity = serde_json::from_str(r#"{"commands":1}"#).unwrap();
        assert!(older.is_busy());
        let newer: Activity = serde_json::from_str(r#"{"idle_ms":5,"terminals":3}"#).unwrap();
        assert_eq!((newer.idle_ms, newer.is_busy()), (5, false));
    }
}
