//! The operations, one file per resource.

pub mod code;
pub mod directory;
pub mod edit;
pub mod exec;
pub mod file;
pub mod git;
pub mod health;
pub mod mcp;
pub mod mount;
pub mod openapi;
pub mod pool;
pub mod port;
pub mod preview;
pub mod process;
pub mod pty;
pub mod s3;
pub mod sandbox;
pub mod search;
pub mod session;
pub mod snapshot;
pub mod stat;
pub mod token;
pub mod transfer;
pub mod tunnel;
pub mod watch;
pub mod workspace;

mod object;
mod proxy;
mod upload;
