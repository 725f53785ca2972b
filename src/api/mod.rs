//! The operations, one file per resource.

pub mod exec;
pub mod file;
pub mod health;
pub mod mount;
pub mod openapi;
pub mod pool;
pub mod pty;
pub mod s3;
pub mod sandbox;
pub mod session;
pub mod tunnel;
pub mod workspace;

mod object;
mod upload;
