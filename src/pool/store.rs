//! The state of the pool, in its object's SQLite. Every call is one or two statements without an
//! `.await` in between, so no other request sees a partial change.

use sandbox_protocol::SandboxId;
use sandbox_protocol::pool::SandboxEvent;
use worker::{SqlStorage, SqlStorageValue};

use super::plan::{Counts, StartHistory};
use super::row::{HistoryRow, SandboxRow, Stale, StateRow, count};
use super::state::State;
use crate::error::ApiError;
use crate::sql::{Database, ms};

/// `since_ms`: the time at which the state began; `seen_ms`: the time at which the sandbox was last
/// known to be in it; both by the pool's clock. `reported_ms`: the time of the newest report, by
/// the clock of the Sandbox object; 0 before the first.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sandbox (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  since_ms INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL,
  reported_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS start_history (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  ceiling INTEGER,
  ceiling_at_ms INTEGER,
  failed_at_ms INTEGER
);";

/// The storage of the pool's object.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the storage; creates the tables if they do not exist.
    pub fn open(sql: SqlStorage) -> Result<Self, ApiError> {
        let database = Database::open(sql, SCHEMA)?;
        Ok(Self { database })
    }

    /// The number of sandboxes in each state.
    pub fn counts(&self) -> Result<Counts, ApiError> {
        let rows = self.database.rows(
            "SELECT state, COUNT(*) AS sandboxes FROM sandbox GROUP BY state",
            vec![],
        )?;
        Ok(count(&rows))
    }

    /// The sandboxes in a state.
    pub fn ids(&self, state: State) -> Result<Vec<SandboxId>, ApiError> {
        let rows: Vec<SandboxRow> = self.database.rows(
            "SELECT id, seen_ms FROM sandbox WHERE state = ?",
            vec![state.name().into()],
        )?;
        rows.iter().map(|row| Ok(SandboxId::parse(&row.id)?)).collect()
    }

    /// The state of a sandbox and the time at which it began; `None` for a sandbox that the pool
    /// does not know.
    pub fn state(&self, id: &SandboxId) -> Result<Option<(State, u64)>, ApiError> {
        Ok(self.state_row(id)?.map(|row| (row.state, row.since_ms)))
    }

    /// Puts a sandbox into a state, whatever its state was before.
    pub fn put(&self, id: &SandboxId, state: State, now_ms: u64) -> Result<(), ApiError> {
        self.database.run(
            "INSERT INTO sandbox (id, state, since_ms, seen_ms) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT DO UPDATE SET state = ?2, since_ms = ?3, seen_ms = ?3",
            vec![id.as_str().into(), state.name().into(), ms(now_ms)],
        )
    }

    /// Hands out the sandbox that has been ready for the longest time.
    pub fn take(&self, now_ms: u64) -> Result<Option<SandboxId>, ApiError> {
        let rows: Vec<SandboxRow> = self.database.rows(
            "UPDATE sandbox SET state = 'assigned', since_ms = ?1
             WHERE id = (SELECT id FROM sandbox WHERE state = 'ready' ORDER BY since_ms, id LIMIT 1)
             RETURNING id, seen_ms",
            vec![ms(now_ms)],
        )?;
        Ok(rows.first().map(|row| SandboxId::parse(&row.id)).transpose()?)
    }

    /// Applies a report that was made at `at_ms`, unless a newer one arrived first. Returns the
    /// states before and after.
    pub fn report(
        &self,
        id: &SandboxId,
        event: SandboxEvent,
        at_ms: u64,
        now_ms: u64,
    ) -> Result<Option<(Option<State>, State)>, ApiError> {
        let row = self.state_row(id)?;
        if row.is_some_and(|row| at_ms < row.reported_ms) {
            return Ok(None);
        }
        let before = row.map(|row| row.state);
        if let Some(after) = State::after(before, event) {
            self.put(id, after, now_ms)?;
        }
        self.database.run(
            "UPDATE sandbox SET seen_ms = ?2, reported_ms = ?3 WHERE id = ?1",
            vec![id.as_str().into(), ms(now_ms), ms(at_ms)],
        )?;
        Ok(State::after(before, event).map(|after| (before, after)))
    }

    /// Marks warm sandboxes to be stopped, the longest ready first.
    pub fn mark_oldest(&self, sandboxes: u32, now_ms: u64) -> Result<(), ApiError> {
        self.database.run(
            "UPDATE sandbox SET state = 'stopping', since_ms = ?1 WHERE id IN
             (SELECT id FROM sandbox WHERE state = 'ready' ORDER BY since_ms, id LIMIT ?2)",
            vec![ms(now_ms), i64::from(sandboxes).into()],
        )
    }

    /// Marks every sandbox that no client has to be stopped.
    pub fn mark_all(&self, now_ms: u64) -> Result<(), ApiError> {
        self.database.run(
            "UPDATE sandbox SET state = 'stopping', since_ms = ?1 WHERE state IN ('ready', 'starting')",
            vec![ms(now_ms)],
        )
    }

    /// Forgets a sandbox that was to be stopped.
    pub fn forget_stopped(&self, id: &SandboxId) -> Result<(), ApiError> {
        self.database.run(
            "DELETE FROM sandbox WHERE id = ? AND state IN ('stopping', 'stopped')",
            vec![id.as_str().into()],
        )
    }

    /// Forgets every sandbox that stopped before a time: no older report of it is under way any
    /// more.
    pub fn forget_stopped_before(&self, before_ms: u64) -> Result<(), ApiError> {
        self.database.run(
            "DELETE FROM sandbox WHERE state = 'stopped' AND since_ms < ?",
            vec![ms(before_ms)],
        )
    }

    /// Forgets the sandboxes of clients, which do not report while the pool is off.
    pub fn forget_clients(&self) -> Result<(), ApiError> {
        self.database.run(
            "DELETE FROM sandbox WHERE state IN ('assigned', 'stopped')",
            vec![],
        )
    }

    /// At most `limit` sandboxes that should run and were last seen before `ready_ms` (warm ones)
    /// or `assigned_ms` (those of clients).
    pub fn stale(&self, ready_ms: u64, assigned_ms: u64, limit: u32) -> Result<Vec<Stale>, ApiError> {
        let rows: Vec<SandboxRow> = self.database.rows(
            "SELECT id, seen_ms FROM sandbox
             WHERE state = 'ready' AND seen_ms < ?1 OR state = 'assigned' AND seen_ms < ?2
             ORDER BY seen_ms LIMIT ?3",
            vec![ms(ready_ms), ms(assigned_ms), i64::from(limit).into()],
        )?;
        rows.into_iter()
            .map(|row| {
                Ok(Stale {
                    id: SandboxId::parse(&row.id)?,
                    seen_ms: row.seen_ms,
                })
            })
            .collect()
    }

    /// Notes that a sandbox runs.
    pub fn seen(&self, id: &SandboxId, now_ms: u64) -> Result<(), ApiError> {
        self.database.run(
            "UPDATE sandbox SET seen_ms = ?2 WHERE id = ?1",
            vec![id.as_str().into(), ms(now_ms)],
        )
    }

    /// Forgets a sandbox that does not run, unless it was seen since.
    pub fn forget_stale(&self, stale: &Stale) -> Result<(), ApiError> {
        self.database.run(
            "DELETE FROM sandbox WHERE id = ? AND seen_ms = ? AND state IN ('ready', 'assigned')",
            vec![stale.id.as_str().into(), ms(stale.seen_ms)],
        )
    }

    /// The results of earlier starts.
    pub fn history(&self) -> Result<StartHistory, ApiError> {
        let rows: Vec<HistoryRow> = self.database.rows(
            "SELECT ceiling, ceiling_at_ms, failed_at_ms FROM start_history",
            vec![],
        )?;
        Ok(rows.into_iter().next().unwrap_or_default().into())
    }

    /// Stores the results of starts.
    pub fn remember(&self, history: StartHistory) -> Result<(), ApiError> {
        let nullable = |value: Option<u64>| value.map_or(SqlStorageValue::Null, ms);
        self.database.run(
            "INSERT OR REPLACE INTO start_history (one, ceiling, ceiling_at_ms, failed_at_ms) VALUES (1, ?, ?, ?)",
            vec![
                nullable(history.ceiling.map(|ceiling| ceiling.instances.into())),
                nullable(history.ceiling.map(|ceiling| ceiling.at_ms)),
                nullable(history.failed_at_ms),
            ],
        )
    }

    fn state_row(&self, id: &SandboxId) -> Result<Option<StateRow>, ApiError> {
        let rows = self.database.rows(
            "SELECT state, since_ms, reported_ms FROM sandbox WHERE id = ?",
            vec![id.as_str().into()],
        )?;
        Ok(rows.into_iter().next())
    }
}
