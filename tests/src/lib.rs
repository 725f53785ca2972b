//! A client of the bridge for its tests and its bench, and the bridge they talk to.
//!
//! `BASE_URL` (and `SANDBOX_API_KEY`) name a bridge to use; without it one is started on this machine as `npm start`
//! does, and ended with the process.

pub mod bridge;
pub mod client;
pub mod docker;
pub mod raw;
pub mod sse;

pub use bridge::Bridge;
pub use client::{Client, Sandbox};
pub use sse::Finished;
