//! The operations, one file a resource.

pub mod exec;
pub mod file;
pub mod health;
pub mod pool;
pub mod sandbox;

mod object;
