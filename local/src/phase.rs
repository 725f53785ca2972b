//! The phases of a boot, and the states that its callers want.

use sandbox_protocol::local;

/// The phase of a boot. Phases follow each other only in this order.
#[derive(Debug, Clone)]
pub enum Phase {
    /// `sandboxd` was started, and has not answered yet.
    Starting,
    /// `sandboxd` answers.
    Running(local::Boot),
    /// `sandboxd` was asked to end, and has not ended yet.
    Stopping(local::Boot),
    /// The boot ended after it ran, as the text says: `exit 0`, `signal 9`. All its processes have
    /// ended.
    Ended(String),
    /// The boot ended before it answered, for this reason. All its processes have ended.
    Failed(String),
}

impl Phase {
    /// Whether the boot has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Failed(_))
    }

    /// The status of the sandbox while this is its latest boot.
    pub fn status(&self) -> local::Status {
        match self.clone() {
            Self::Starting => local::Status::default(),
            Self::Running(boot) | Self::Stopping(boot) => local::Status {
                running: Some(boot),
                last_exit: None,
            },
            Self::Ended(reason) | Self::Failed(reason) => local::Status {
                running: None,
                last_exit: Some(reason),
            },
        }
    }
}

/// The desired state of a boot, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DesiredState {
    /// It runs.
    Run,
    /// It ends: SIGTERM, and SIGKILL after the grace.
    Stop,
    /// It ends at once: SIGKILL.
    Kill,
}
