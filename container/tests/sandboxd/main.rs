//! The program `sandboxd` as its callers see it: real processes, real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod support;

mod background;
mod client;
mod http;
mod output;
mod pid1;
mod program;
mod shutdown;
mod stdin;
mod timeout;
mod user;
