//! The operations, one file a resource.

pub mod exec;
pub mod file;
pub mod mount;
pub mod pool;
pub mod sandbox;
pub mod service;
pub mod session;
pub mod terminal;
pub mod tunnel;
pub mod workspace;
