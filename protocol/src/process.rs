//! Processes: commands with an id, whose log and end can be asked for.

#[cfg(feature = "schema")]
mod schema;

mod query;
mod signal;
mod wait;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::Exit;
use crate::session::is_client_id;
use crate::{ErrorBody, Invalid};

pub use query::{DEFAULT_GRACE_MS, ListQuery, LogQuery, MAX_GRACE_MS, grace_ms, since, stdin_offset};
pub use signal::{SignalRequest, signal_name};
pub use wait::{Condition, MAX_PATTERN, WaitRequest, WaitResult, WaitState};

/// The largest body of a signal or a wait, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Request header of `POST …/stdin`: the offset of the body's first byte in the standard input.
pub const STDIN_OFFSET_HEADER: &str = "stdin-offset";

/// Request header of a client that continues a stream: the id of the last event that it has got.
pub const LAST_EVENT_ID_HEADER: &str = "last-event-id";

/// A process id: 1 to 128 characters of `a-zA-Z0-9._-`, without `..` and not `.`. It is not the id
/// that the kernel gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId(String);

impl ProcessId {
    /// Parses an id as it stands in a URL or a body.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(id: &str) -> Result<Self, Invalid> {
        // In a URL, `.` is the same as nothing.
        if is_client_id(id) && id != "." {
            Ok(Self(id.to_owned()))
        } else {
            Err(Invalid::request("Invalid process ID format"))
        }
    }

    /// The id as it stands in URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs, or waits for its turn in its session.
    Running,
    /// It has ended; `exit` is set.
    Exited,
    /// It could not be started, or its end is unknown; `error` is set.
    Failed,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its id.
    pub id: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The working directory that it was started in.
    pub cwd: String,
    /// Its state.
    pub state: ProcessState,
    /// The id that the kernel gave its first process. Absent: that was not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The time of the request that started it: RFC 3339, in UTC.
    pub started_at: String,
    /// The time of its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// The reason why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// The bytes that it has written to its standard output.
    pub stdout_bytes: u64,
    /// The bytes that it has written to its standard error.
    pub stderr_bytes: u64,
    /// Whether its log has lost events.
    pub log_truncated: bool,
    /// The TCP ports on which its process tree listens.
    pub ports: Vec<u16>,
    /// The session that it was started in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// The answer of `GET …/process`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessList {
    /// The processes, the newest first.
    pub processes: Vec<Process>,
    /// The cursor of the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The answer of `DELETE …/process`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessesEnded {
    /// The number of running processes that were ended.
    pub ended: u64,
}

/// The answer of `POST …/stdin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StdinWritten {
    /// The bytes that were written to the standard input in all: the offset of the next byte.
    pub offset: u64,
}

/// The error of `POST …/stdin` with an offset that is not the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StdinOffsetError {
    /// The error.
    #[serde(flatten)]
    pub body: ErrorBody,
    /// The offset of the next byte.
    pub offset: u64,
}
