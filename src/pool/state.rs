//! The states of a sandbox in the pool, and the effect of a report. Pure.
//!
//! ```text
//! starting ── it answers ─▶ ready ── take ─▶ assigned ── it ends ─▶ stopped ─▶ forgotten
//!     │                       │                  ▲                     │
//!     └──── stop or failure ──┴─▶ stopping       └──── it starts ──────┘
//! ```
//!
//! A sandbox that was never in the pool is assigned from its first report on.

use sandbox_protocol::pool::SandboxEvent;
use serde::{Deserialize, Serialize};

/// The state of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The pool has asked it to start.
    Starting,
    /// It runs and waits to be handed out.
    Ready,
    /// It runs for a client.
    Assigned,
    /// The pool has asked it to stop; no client has its id.
    Stopping,
    /// It ran for a client or was ready. Remembered for a while, so that a delayed report is
    /// recognized as old.
    Stopped,
}

impl State {
    /// The state's name in the storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Assigned => "assigned",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The state after a report of the sandbox; `None`: unchanged.
    pub fn after(known: Option<Self>, event: SandboxEvent) -> Option<Self> {
        match (known, event) {
            (Some(Self::Starting), SandboxEvent::Started) => Some(Self::Ready),
            (None | Some(Self::Stopped), SandboxEvent::Started) => Some(Self::Assigned),
            (None | Some(Self::Ready | Self::Assigned), SandboxEvent::Stopped) => Some(Self::Stopped),
            // The pool's own call to start or to stop it returns the result, which overrides any
            // report.
            (Some(Self::Starting | Self::Stopping | Self::Stopped), SandboxEvent::Stopped) => None,
            (Some(Self::Ready | Self::Assigned | Self::Stopping), SandboxEvent::Started) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_rows() {
        for state in [
            State::Starting,
            State::Ready,
            State::Assigned,
            State::Stopping,
            State::Stopped,
        ] {
            assert_eq!(
                serde_json::to_string(&state).unwrap(),
                format!("{:?}", state.name())
            );
        }
    }

    #[test]
    fn effects_of_reports() {
        for (known, started, stopped) in [
            (None, State::Assigned, State::Stopped),
            (Some(State::Starting), State::Ready, State::Starting),
            (Some(State::Ready), State::Ready, State::Stopped),
            (Some(State::Assigned), State::Assigned, State::Stopped),
            (Some(State::Stopping), State::Stopping, State::Stopping),
            (Some(State::Stopped), State::Assigned, State::Stopped),
        ] {
            for (event, expected) in [(SandboxEvent::Started, started), (SandboxEvent::Stopped, stopped)] {
                let after = State::after(known, event).or(known);
                assert_eq!(after, Some(expected), "{known:?} {event:?}");
            }
        }
    }
}
