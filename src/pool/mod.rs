//! The warm pool.

pub mod config;
pub mod plan;

pub use config::PoolConfig;
