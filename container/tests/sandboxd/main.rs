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
mod full;
mod git;
mod http;
mod hung;
mod hung_files;
mod killed;
mod limits;
mod memory;
mod output;
mod pid1;
mod processes;
mod program;
mod pty;
mod pty_end;
mod pty_flow;
mod pty_input;
mod pty_session;
mod resume;
mod security;
mod session;
mod session_end;
mod session_queue;
mod session_restore;
mod session_shell;
mod session_startup;
mod session_trap;
mod shutdown;
mod stdin;
mod stopped;
mod tables;
mod timeout;
mod tunnel;
mod user;
