//! The Worker: an HTTP API for Linux sandboxes.
//!
//! A request is resolved to a [`route::Route`], authorised, checked, and handed to the Sandbox object of the id in its
//! path; the object hands it on to `sandboxd` in its container. Bodies pass through as the runtime's own streams:
//! file bytes and command output never enter Wasm memory, back-pressure reaches from end to end, and a client that
//! leaves closes the connection to `sandboxd`.

pub mod auth;
pub mod config;
pub mod duration;
pub mod error;
pub mod pool;
pub mod route;
pub mod url;

mod api;
mod edge;
mod new_id;
mod response;
pub mod s3;
mod sandbox;
mod stream;
mod stub;

use worker::{Context, Env, ScheduleContext, ScheduledEvent, event};

pub use pool::WarmPool;
pub use sandbox::Sandbox;

/// Answers every HTTP request to the Worker.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    Ok(edge::answer(request, &env, edge::caller(&context)).await)
}

/// Comes every minute: fills the pool after a deploy, and whenever its own alarm was lost.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    pool::client::keep_primed(&env).await;
}
