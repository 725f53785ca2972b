//! Types and rules that the parts of the bridge share: Worker, Sandbox object, `sandboxd`,
//! `sandbox-local`.
//!
//! Nothing here does I/O, knows JavaScript or needs an async runtime. A value of one of these types
//! has been checked: [`SandboxId`], [`WorkspacePath`], [`ExecRequest`] and the others can only be
//! built by parsing.
//!
//! A deploy replaces the Worker before the containers, so a newer Worker talks to an older
//! `sandboxd` for a while: fields are only ever added, with `#[serde(default)]`.

#![warn(clippy::missing_errors_doc)]

pub mod activity;
pub mod answer;
pub mod archive;
pub mod code;
pub mod duration;
pub mod error;
pub mod event;
pub mod exec;
pub mod file;
pub mod git;
pub mod hex;
pub mod id;
pub mod index;
pub mod json;
pub mod limits;
pub mod local;
pub mod mcp;
pub mod mount;
pub mod object;
pub mod pool;
pub mod port;
pub mod preview;
pub mod process;
pub mod pty;
pub mod query;
pub mod retry_after;
pub mod route_table;
pub mod s3;
pub mod sandbox;
pub mod sandboxd;
#[cfg(feature = "schema")]
pub mod schema;
pub mod session;
pub mod snapshot;
pub mod tail;
pub mod time;
pub mod token;
pub mod tunnel;
pub mod utf8;
pub mod workspace_path;

pub use activity::Activity;
pub use archive::{ArchiveFormat, PersistOptions};
pub use code::{ContextId, ContextRequest, RunCodeRequest};
pub use error::{ErrorBody, ErrorCode, Invalid};
pub use event::Event;
pub use exec::ExecRequest;
pub use file::{FilePath, FileRoots, WriteOptions};
pub use git::CheckoutRequest;
pub use id::SandboxId;
pub use index::IndexCall;
pub use limits::Limits;
pub use mount::{MountRequest, UnmountRequest};
pub use object::ObjectCall;
pub use pool::PoolCall;
pub use port::ServerPort;
pub use process::ProcessId;
pub use pty::PtyRequest;
pub use session::{CreateSession, SessionId};
pub use snapshot::SnapshotId;
pub use tail::Tail;
pub use tunnel::{Port, Tunnel, TunnelRequest};
pub use workspace_path::WorkspacePath;
