//! A client of the bridge for its tests and its bench, and the bridge they talk to.
//!
//! `BASE_URL` (and `SANDBOX_API_KEY`) name a bridge to use; without it one is started on this
//! machine as `npm start` does, and ended with the process.

pub mod bridge;
pub mod bridge_process;
pub mod browser;
pub mod build;
pub mod client;
pub mod cloudflare;
pub mod code;
pub mod command_line;
pub mod cut;
pub mod docker;
pub mod file;
pub mod framework;
pub mod git_server;
pub mod kill;
pub mod machine;
pub mod model;
pub mod openapi_errors;
pub mod preview;
pub mod process;
pub mod program;
pub mod raw;
pub mod recipe;
pub mod shared;
pub mod snapshot;
pub mod sse;
pub mod terminal;

pub use bridge::{Bridge, Runtime};
pub use client::{Client, Sandbox};
pub use process::Process;
pub use sse::Finished;
pub use terminal::Terminal;
