//! `sandboxd`: the server inside a sandbox's container.

pub mod error;
pub mod files;
