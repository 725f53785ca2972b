//! The Worker: an HTTP API for Linux sandboxes.
//!
//! A request is resolved to an operation of the table of routes, authorized, checked, and forwarded
//! to the Sandbox object of the id in its path; the object forwards it to `sandboxd` in its
//! container. Bodies pass through as the runtime's own streams: file bytes and command output never
//! enter Wasm memory, back-pressure works from end to end, and a client that disconnects closes the
//! connection to `sandboxd`.

pub mod auth;
pub mod config;
pub mod cors;
mod deadline;
pub mod error;
pub mod index;
pub mod pool;
pub mod preview;
pub mod resolve;
pub mod url;

mod api;
mod body;
mod caller;
mod clock;
mod connection_error;
mod discard;
mod exchange;
mod fetch;
mod heartbeat;
mod hmac;
mod log;
mod new_id;
mod response;
mod router;
pub mod s3;
mod sandbox;
mod snapshot;
mod sql;
mod stream;
mod stub;
mod token;

use caller::Caller;
use worker::{Context, Env, ScheduleContext, ScheduledEvent, event};

pub use index::SandboxIndex;
pub use pool::WarmPool;
pub use sandbox::Sandbox;

/// Answers every HTTP request to the Worker.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    Ok(router::handle(request, &env, Caller::from_context(&context)).await)
}

/// Runs every minute: fills the pool after a deploy, and whenever the pool's own alarm was lost; and
/// deletes snapshots whose time is over.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    pool::client::keep_primed(&env).await;
    api::snapshot::delete_expired(&env).await;
}
