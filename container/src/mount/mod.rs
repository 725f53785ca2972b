//! Buckets as directories: `POST /mount` and `POST /unmount`.
//!
//! # Theory of operation
//!
//! s3fs does the work, one process per mount ([`daemon`]). `sandboxd` starts it as its own user:
//! root, where commands are not. s3fs mounts the bucket on a [`stage`] that nobody else sees. Once
//! the bucket answers there, the mount is bound to its [`point`], the directory that the client
//! named, and the stage is removed with the credentials: s3fs read them when it started. So a
//! command finds the credentials nowhere: not in a file, not in an environment, not in a command
//! line, not in the memory of a process that it may read.
//!
//! A bucket that the Sandbox object serves (a `binding`, or with `credentialProxy`) is mounted like
//! any other: its endpoint is the object, its credentials are a token for nothing else. A [`probe`]
//! first checks that the object can be reached.
//!
//! [`registry`] knows every mount by its path. It holds a path during a mount or unmount, so that
//! there is only one at a time. Both run to their end when their client leaves: no mount stays half
//! done.
//!
//! A mount whose s3fs has died stays where it is, so that commands get errors instead of writing
//! beside the bucket. It can be unmounted, and mounted again.
//!
//! A shutdown ends commands first, so that their open files are written, and mounts after them.

pub mod capability;
pub mod daemon;
pub mod mounts;
pub mod point;
pub mod probe;
pub mod registry;
pub mod s3fs;
pub mod stage;
mod unmount;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use sandbox_protocol::answer::Done;
use sandbox_protocol::mount::MAX_BODY;
use sandbox_protocol::{MountRequest, UnmountRequest, sandboxd};

pub use capability::MountCapability;
pub use mounts::Mounts;

use crate::to_its_end::to_its_end;
use crate::{Error, body};

/// Serves [`sandboxd::MOUNT`] and [`sandboxd::UNMOUNT`].
pub fn router<S: Clone + Send + Sync + 'static>(mounts: Arc<Mounts>) -> Router<S> {
    Router::new()
        .route(sandboxd::MOUNT, post(mount))
        .route(sandboxd::UNMOUNT, post(unmount))
        .with_state(mounts)
}

async fn mount(
    State(mounts): State<Arc<Mounts>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>, Error> {
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &mounts.buffers).await?;
    let request = MountRequest::parse(&body)?;
    to_its_end(Error::Mount, async move { mounts.mount(&request).await }).await?;
    Ok(Json(Done::default()))
}

async fn unmount(
    State(mounts): State<Arc<Mounts>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>, Error> {
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &mounts.buffers).await?;
    let request = UnmountRequest::parse(&body)?;
    to_its_end(Error::Unmount, async move {
        mounts.unmount(&request.mount_path).await
    })
    .await?;
    Ok(Json(Done::default()))
}
