//! The rows of the pool's storage, and what they mean.

use sandbox_protocol::SandboxId;
use serde::Deserialize;

use super::plan::{Ceiling, Census, Memory};
use super::state::State;

/// A sandbox that has not been heard of for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// The sandbox.
    pub id: SandboxId,
    /// When it was last known to run.
    pub seen_ms: u64,
}

/// How many sandboxes are in a state.
#[derive(Debug, Deserialize)]
pub struct CensusRow {
    /// The state's name.
    pub state: String,
    /// How many.
    pub sandboxes: u32,
}

/// A sandbox, and when it was last known to be in its state.
#[derive(Debug, Deserialize)]
pub struct SandboxRow {
    /// Its id.
    pub id: String,
    /// By the pool's clock.
    pub seen_ms: u64,
}

/// What is known of one sandbox.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct StateRow {
    /// Its state.
    pub state: State,
    /// When the state began, by the pool's clock.
    pub since_ms: u64,
    /// When its newest report was made, by its object's clock; 0 before the first.
    pub reported_ms: u64,
}

/// What starts have taught.
#[derive(Debug, Default, Deserialize)]
pub struct MemoryRow {
    /// How many sandboxes ran when the platform had no room for more.
    pub ceiling: Option<u32>,
    /// When it last said so.
    pub ceiling_at_ms: Option<u64>,
    /// When a start last failed for another reason.
    pub failed_at_ms: Option<u64>,
}

/// The counts by state. A state that only a newer pool knows is left out.
pub fn count(rows: &[CensusRow]) -> Census {
    let of = |state: State| {
        rows.iter()
            .find(|row| row.state == state.name())
            .map_or(0, |row| row.sandboxes)
    };
    Census {
        ready: of(State::Ready),
        starting: of(State::Starting),
        assigned: of(State::Assigned),
        stopping: of(State::Stopping),
    }
}

impl From<MemoryRow> for Memory {
    fn from(row: MemoryRow) -> Self {
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
        let rows: Vec<CensusRow> = serde_json::from_str(
            r#"[{"state":"assigned","sandboxes":7},{"state":"ready","sandboxes":2},{"state":"of a newer pool","sandboxes":1}]"#,
        )
        .unwrap();
        let expected = Census {
            ready: 2,
            starting: 0,
            assigned: 7,
            stopping: 0,
        };
        assert_eq!(count(&rows), expected);
        assert_eq!(count(&[]), Census::default());
    }

    #[test]
    fn memory_reads_back() {
        let memory = |json: &str| Memory::from(serde_json::from_str::<MemoryRow>(json).unwrap());
        assert_eq!(
            memory(r#"{"ceiling":null,"ceiling_at_ms":null,"failed_at_ms":null}"#),
            Memory::default()
        );
        let expected = Memory {
            ceiling: Some(Ceiling {
                instances: 3,
                at_ms: 1_700_000_000_000,
            }),
            failed_at_ms: Some(1_700_000_000_001),
        };
        assert_eq!(
            memory(r#"{"ceiling":3,"ceiling_at_ms":1700000000000,"failed_at_ms":1700000000001}"#),
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
