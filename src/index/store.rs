//! The sandboxes of a shard, in its object's SQLite. Every call is a few statements without an
//! `.await` in between, so no other request sees a partial change.

use sandbox_protocol::index::{PermitRequest, SandboxReport, ShardPage, ShardRow};
use sandbox_protocol::sandbox::ListQuery;
use serde::Deserialize;
use serde_json::value::RawValue;
use worker::{SqlStorage, SqlStorageValue};

use crate::error::ApiError;
use crate::sql::{Database, ms};

/// `changed_ms`: the time of the newest report, by the clock of the Sandbox object. `info`: the JSON
/// that lists have; NULL for a sandbox that was destroyed. `permit`: the sandboxes that may run, each
/// until `until_ms`.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sandbox (
  id TEXT PRIMARY KEY,
  created_ms INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL,
  state TEXT NOT NULL,
  info TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS newest ON sandbox (created_ms DESC, id) WHERE info IS NOT NULL;
CREATE INDEX IF NOT EXISTS destroyed ON sandbox (changed_ms) WHERE info IS NULL;
CREATE TABLE IF NOT EXISTS label (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (id, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labelled ON label (key, value, id);
CREATE TABLE IF NOT EXISTS permit (
  id TEXT PRIMARY KEY,
  until_ms INTEGER NOT NULL
) WITHOUT ROWID;";

/// The state of a sandbox that was destroyed.
const DESTROYED: &str = "destroyed";

/// The storage of a shard.
#[derive(Debug)]
pub struct Store {
    database: Database,
}

/// A row of which only the presence counts.
#[derive(Deserialize)]
struct AnyRow {}

#[derive(Deserialize)]
struct ListedRow {
    created_ms: u64,
    id: String,
    info: String,
}

impl Store {
    /// Opens the storage; creates the tables if they do not exist.
    pub fn open(sql: SqlStorage) -> Result<Self, ApiError> {
        let database = Database::open(sql, SCHEMA)?;
        Ok(Self { database })
    }

    /// Applies a report, unless one that is at least as new was applied before. Returns whether it did.
    pub fn report(&self, report: &SandboxReport) -> Result<bool, ApiError> {
        let id = report.id.as_str();
        let listed = report.listed.as_ref();
        let state = listed.map_or(DESTROYED, |listed| listed.state.name());
        let info = listed.map(|listed| listed.info.get());
        let applied: Vec<AnyRow> = self.database.rows(
            "INSERT INTO sandbox (id, created_ms, changed_ms, state, info) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET created_ms = ?2, changed_ms = ?3, state = ?4, info = ?5
             WHERE changed_ms < ?3
             RETURNING id",
            vec![
                id.into(),
                ms(report.created_ms),
                ms(report.changed_ms),
                state.into(),
                info.map_or(SqlStorageValue::Null, Into::into),
            ],
        )?;
        if applied.is_empty() {
            return Ok(false);
        }
        self.database
            .run("DELETE FROM label WHERE id = ?", vec![id.into()])?;
        for (key, value) in listed.into_iter().flat_map(|listed| &listed.labels) {
            self.database.run(
                "INSERT INTO label (key, value, id) VALUES (?, ?, ?)",
                vec![key.as_str().into(), value.as_str().into(), id.into()],
            )?;
        }
        Ok(true)
    }

    /// Forgets the sandboxes that were destroyed before a time.
    pub fn forget_destroyed_before(&self, before_ms: u64) -> Result<(), ApiError> {
        self.database.run(
            "DELETE FROM sandbox WHERE info IS NULL AND changed_ms < ?",
            vec![ms(before_ms)],
        )
    }

    /// The sandboxes that match a query, newest first.
    pub fn list(&self, query: &ListQuery) -> Result<ShardPage, ApiError> {
        let mut bindings: Vec<SqlStorageValue> = Vec::new();
        let mut conditions = vec!["info IS NOT NULL".to_owned()];
        for label in &query.labels {
            conditions.push("id IN (SELECT id FROM label WHERE key = ? AND value = ?)".to_owned());
            bindings.extend([label.key.as_str().into(), label.value.as_str().into()]);
        }
        if let Some(state) = query.state {
            conditions.push("state = ?".to_owned());
            bindings.push(state.name().into());
        }
        if let Some(cursor) = &query.cursor {
            // The first condition lets SQLite begin at the cursor.
            conditions.push("created_ms <= ? AND (created_ms < ? OR id > ?)".to_owned());
            let created_ms = || ms(cursor.created_ms);
            bindings.extend([created_ms(), created_ms(), cursor.id.as_str().into()]);
        }
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        // One row more than wanted tells whether there is another page.
        bindings.push(limit.saturating_add(1).into());
        let statement = format!(
            "SELECT created_ms, id, info FROM sandbox WHERE {} ORDER BY created_ms DESC, id LIMIT ?",
            conditions.join(" AND ")
        );
        let mut listed: Vec<ListedRow> = self.database.rows(&statement, bindings)?;
        let more = listed.len() > query.limit;
        listed.truncate(query.limit);
        let row = |listed: ListedRow| {
            Ok(ShardRow {
                created_ms: listed.created_ms,
                id: listed.id,
                info: RawValue::from_string(listed.info)?,
            })
        };
        let rows = listed.into_iter().map(row).collect::<Result<_, ApiError>>()?;
        Ok(ShardPage { rows, more })
    }

    /// Gives a sandbox a permit, or renews the one that it has. Returns false when the shard has
    /// given all of them.
    pub fn acquire(&self, request: &PermitRequest, now_ms: u64) -> Result<bool, ApiError> {
        self.database
            .run("DELETE FROM permit WHERE until_ms < ?", vec![ms(now_ms)])?;
        let granted: Vec<AnyRow> = self.database.rows(
            "INSERT INTO permit (id, until_ms)
             SELECT ?1, ?2 WHERE (SELECT COUNT(*) FROM permit WHERE id != ?1) < ?3
             ON CONFLICT DO UPDATE SET until_ms = ?2
             RETURNING id",
            vec![
                request.id.as_str().into(),
                ms(now_ms.saturating_add(request.lease_ms)),
                i64::from(request.limit).into(),
            ],
        )?;
        Ok(!granted.is_empty())
    }

    /// Takes a permit back.
    pub fn release(&self, id: &str) -> Result<(), ApiError> {
        self.database
            .run("DELETE FROM permit WHERE id = ?", vec![id.into()])
    }
}
