//! Requests and rows: the usage of a request, and of each step in the life of a sandbox.
//!
//! The numbers of rows of the index are those that workerd counts (`rowsWritten`) for the statements
//! of `src/index/store.rs`.

use std::ops::{Add, Mul};

/// Requests and rows, as they are billed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Requests to the Worker.
    pub worker: f64,
    /// Requests and alarms of the Sandbox object.
    pub sandbox: f64,
    /// Requests to shards of the index.
    pub index: f64,
    /// Requests to the object of the warm pool.
    pub pool: f64,
    /// Rows that the Sandbox object reads in its storage.
    pub reads: f64,
    /// Rows that the Sandbox object writes in its storage. Setting an alarm is one.
    pub writes: f64,
    /// Rows that shards of the index write.
    pub index_writes: f64,
}

impl Usage {
    /// A request that the Worker answers alone.
    pub const WORKER: Self = Self {
        worker: 1.0,
        sandbox: 0.0,
        index: 0.0,
        pool: 0.0,
        reads: 0.0,
        writes: 0.0,
        index_writes: 0.0,
    };

    /// A request that passes the Sandbox object of its id.
    pub const SANDBOX: Self = Self {
        sandbox: 1.0,
        ..Self::WORKER
    };

    /// The same without the request itself.
    pub fn inside(self) -> Self {
        Self { worker: 0.0, ..self }
    }

    /// All requests to Durable Objects.
    pub fn object_requests(&self) -> f64 {
        self.sandbox + self.index + self.pool
    }

    /// All rows written.
    pub fn rows_written(&self) -> f64 {
        self.writes + self.index_writes
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            worker: self.worker + other.worker,
            sandbox: self.sandbox + other.sandbox,
            index: self.index + other.index,
            pool: self.pool + other.pool,
            reads: self.reads + other.reads,
            writes: self.writes + other.writes,
            index_writes: self.index_writes + other.index_writes,
        }
    }
}

impl Mul<f64> for Usage {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self {
            worker: self.worker * times,
            sandbox: self.sandbox * times,
            index: self.index * times,
            pool: self.pool * times,
            reads: self.reads * times,
            writes: self.writes * times,
            index_writes: self.index_writes * times,
        }
    }
}

/// A change that a Sandbox object reports to its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was created with settings, or has run for the first time.
    Made,
    /// It was changed, started or stopped.
    Changed,
    /// It was destroyed.
    Destroyed,
}

impl Change {
    /// The rows that the shard writes for a report of a sandbox with this number of labels.
    pub fn rows(self, labels: u32) -> u32 {
        match self {
            // The sandbox and its place in the index by time; each label and its place.
            Self::Made => 2 + 2 * labels,
            // The old labels are deleted first.
            Self::Changed => 2 + 3 * labels,
            // And the row itself, when it is forgotten ten minutes later.
            Self::Destroyed => 2 + labels + 1,
        }
    }
}

/// The rows that a shard writes when it gives, renews or takes back a permit.
pub const PERMIT_ROWS: u32 = 1;
