//! `sandboxd`: the server inside a sandbox's container. It runs commands and keeps files; nothing else knows what runs.
//!
//! # Theory of operation
//!
//! One process, one small tokio runtime, one listener. [`http`] routes: `/health` and `/activity` answer from memory,
//! `/exec` belongs to [`process`], `/file/…` to [`files`]. Whoever starts `sandboxd` talks HTTP/1.1 to it over a private
//! connection; it trusts its caller and authenticates nobody.
//!
//! `sandboxd` is usually pid 1 of its container, and otherwise makes itself the subreaper of its descendants. Either
//! way every process that loses its parent becomes a child of `sandboxd`. Hence [`pid1`], which collects the dead, and
//! hence no process that a command left behind can hide from [`shutdown`], which ends them all.
//!
//! `sandboxd` may be root while its commands are not ([`user`]), so that a command can neither signal nor trace it.

pub mod activity;
pub mod body;
pub mod config;
pub mod error;
pub mod files;
pub mod http;
pub mod pid1;
pub mod process;
pub mod shutdown;
pub mod user;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

pub use config::Config;
pub use error::Error;

/// Serves on `listener` until SIGTERM or SIGINT, then ends every process and returns, within
/// [`shutdown::DEADLINE`]. An error is one of setting up: nothing was served.
pub async fn serve(listener: TcpListener, config: Config) -> io::Result<()> {
    let signals = shutdown::Signals::listen()?;
    let children = Arc::new(pid1::Children::default());
    pid1::reap_orphans(Arc::clone(&children))?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let boot_id = config.boot_id.clone();
    let router = http::router(config, children)?;
    tracing::info!(boot_id, address = %listener.local_addr()?, "sandboxd is ready");
    shutdown::serve_until(signals, listener, router).await
}
