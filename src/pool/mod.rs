//! The warm pool.

pub mod config;

pub use config::PoolConfig;
