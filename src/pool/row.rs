//! The rows of the pool's storage, and their conversion.

use sandbox_protocol::SandboxId;
use serde::Deserialize;

use super::plan::{Ceiling, Counts, StartHistory};
use super::state::State;

/// A sandbox whose last report or check is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The sandbox.
    pub id: SandboxId,
    /// The time at which it was last known to run.
    pub seen_ms: u64,
}

/// The number of sandboxes in a state.
#[derive(Debug, Deserialize)]
pub struct CountRow {
    /// The state's name.
    pub state: String,
    /// The number.
    pub sandboxes: u32,
}

/// A sandbox, and the time at which it was last known to be in its state.
#[derive(Debug, Deserialize)]
pub struct SandboxRow {
    /// Its id.
    pub id: String,
    /// By the pool's clock.
    pub seen_ms: u64,
}

/// The state of one sandbox.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct StateRow {
    /// Its state.
    pub state: State,
    /// The time at which the state began, by the pool's clock.
    pub since_ms: u64,
    /// The time of its newest report, by its object's clock; 0 before the first.
    pub reported_ms: u64,
}

/// The results of earlier starts.
#[derive(Debug, Default, Deserialize)]
pub struct HistoryRow {
    /// The number of sandboxes that ran when the platform had no capacity for more.
    pub ceiling: Option<u32>,
    /// The time at which it last reported that.
    pub ceiling_at_ms: Option<u64>,
    /// The time at which a start last failed for another reason.
    pub failed_at_ms: Option<u64>,
}

/// The counts by state, without states that only a newer version knows.
pub fn count(rows: &[CountRow]) -> Counts {
    let of = |state: State| {
        rows.iter()
            .find(|row| row.state == state.name())
            .map_or(0, |row| row.sandboxes)
    };
    Counts {
        ready: of(State::Ready),
        starting: of(State::Starting),
        assigned: of(State::Assigned),
        stopping: of(State::Stopping),
    }
}

impl From<HistoryRow> for StartHistory {
    fn from(row: HistoryRow) -> Self {
        Self {
            ceiling: row
                .ceiling
                .zip(row.ceiling_at_ms)
                .map(|(instances, at_ms)| Ceiling { instances, at_ms }),
            failed_at_ms: row.failed_at_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_state() {
        let rows: Vec<CountRow> = serde_json::from_str(
            r#"[{"state":"assigned","sandboxes":7},{"state":"ready","sandboxes":2},{"state":"of a newer pool","sandboxes":1}]"#,
        )
        .unwrap();
        let expected = Counts {
            ready: 2,
            starting: 0,
            assigned: 7,
            stopping: 0,
        };
        assert_eq!(count(&rows), expected);
        assert_eq!(count(&[]), Counts::default());
    }

    #[test]
    fn a_history_reads_back() {
        let history = |json: &str| StartHistory::from(serde_json::from_str::<HistoryRow>(json).unwrap());
        assert_eq!(
            history(r#"{"ceiling":null,"ceiling_at_ms":null,"failed_at_ms":null}"#),
            StartHistory::default()
        );
        let expected = StartHistory {
            ceiling: Some(Ceiling {
                instances: 3,
                at_ms: 1_700_000_000_000,
            }),
            failed_at_ms: Some(1_700_000_000_001),
        };
        assert_eq!(
            history(r#"{"ceiling":3,"ceiling_at_ms":1700000000000,"failed_at_ms":1700000000001}"#),
            expected
        );
    }

    #[test]
    fn states_read_back() {
        let row: StateRow =
            serde_json::from_str(r#"{"state":"ready","since_ms":5,"reported_ms":0}"#).unwrap();
        assert_eq!((row.state, row.since_ms, row.reported_ms), (State::Ready, 5, 0));
    }
}
