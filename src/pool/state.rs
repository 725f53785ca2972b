//! The states of a sandbox as the pool knows it, and what a report changes. Pure.
//!
//! ```text
//! starting ── it answers ─▶ ready ── take ─▶ assigned ── it ends ─▶ stopped ─▶ forgotten
//!     │                       │                  ▲                     │
//!     └──── stop or failure ──┴─▶ stopping       └──── it starts ──────┘
//! ```
//!
//! A sandbox that was never in the pool is assigned from its first report on.

use sandbox_protocol::pool::News;
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
    /// The pool has asked it to stop; nobody has its id.
    Stopping,
    /// It ran for a client or was ready. Kept for a while, so that a report that was overtaken is known to be old.
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

    /// The state after news of the sandbox itself; `None`: as it was.
    pub fn after(known: Option<Self>, news: News) -> Option<Self> {
        match (known, news) {
            (Some(Self::Starting), News::Started) => Some(Self::Ready),
            (None | Some(Self::Stopped), News::Started) => Some(Self::Assigned),
            (None | Some(Self::Ready | Self::Assigned), News::Stopped) => Some(Self::Stopped),
            // Whoever asked it to start or to stop is told what has become of that, and no report knows better.
            (Some(Self::Starting | Self::Stopping | Self::Stopped), News::Stopped) => None,
            (Some(Self::Ready | Self::Assigned | Self::Stopping), News::Started) => None,
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
    fn what_reports_change() {
        for (known, started, stopped) in [
            (None, State::Assigned, State::Stopped),
            (Some(State::Starting), State::Ready, State::Starting),
            (Some(State::Ready), State::Ready, State::Stopped),
            (Some(State::Assigned), State::Assigned, State::Stopped),
            (Some(State::Stopping), State::Stopping, State::Stopping),
            (Some(State::Stopped), State::Assigned, State::Stopped),
        ] {
            for (news, expected) in [(News::Started, started), (News::Stopped, stopped)] {
                let after = State::after(known, news).or(known);
                assert_eq!(after, Some(expected), "{known:?} {news:?}");
            }
        }
    }
}
