//! The operations, one file a resource.

pub mod code;
pub mod directory;
pub mod exec;
pub mod file;
pub mod git;
pub mod mcp;
pub mod mount;
pub mod pool;
pub mod port;
pub mod process;
pub mod sandbox;
pub mod service;
pub mod session;
pub mod snapshot;
pub mod terminal;
pub mod token;
pub mod transfer;
pub mod tunnel;
pub mod watch;
pub mod workspace;
