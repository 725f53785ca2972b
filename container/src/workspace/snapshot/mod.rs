//! Snapshots: a directory as an archive that is fetched in parts, and a directory that is replaced by
//! one.
//!
//! # Theory of operation
//!
//! The store of snapshots is the Sandbox object's; `sandboxd` makes archives and unpacks them.
//! [`sandbox_protocol::snapshot`] has the shapes of all requests and of the archive.
//!
//! Save: `hook` runs a program of the client's. Then, while the processes of the sandbox are stopped, `walk` lists the tree, with a hash of all that it
//! finds, the version, and `volatile_files` copies the files that are being changed. A thread
//! then reads the files and writes the tar of `archive` into `frames`, which compress it, and these
//! into `parts`, of which a few are kept. The thread waits for the requests that fetch them, and memory
//! stays bounded whatever the archive's size. `index` makes the last two frames. A `save` ends when it
//! is deleted, or when nothing is asked of it.
//!
//! Restore: `restore` unpacks the archive beside the workspace, and `checked` hashes its tar. If it is
//! the archive that was saved, `swap` takes the entries of the directory away and moves
//! the new ones in, all or none.

mod archive;
mod frames;
mod hook;
mod index;
mod list;
mod parts;
mod restore;
mod routes;
mod save;
mod swap;
mod verified_archive;
mod volatile_files;
mod walk;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use sandbox_protocol::{Limits, sandboxd};
use tokio::sync::Semaphore;

use super::Archives;
use crate::mount::Mounts;
use crate::process::children::Children;
use crate::process::open_files;
use crate::process::stop::Stop;
use crate::user::User;
use save::Save;

/// How long the files that processes have open are looked for.
const OPEN_FILES_TIMEOUT: Duration = Duration::from_millis(500);

/// The saves and restores of a sandbox.
#[derive(Debug)]
pub struct Snapshots {
    archives: Arc<Archives>,
    mounts: Arc<Mounts>,
    children: Arc<Children>,
    user: User,
    limits: Limits,
    /// Held by each save and each restore.
    one_at_a_time: Arc<Semaphore>,
    /// The save of which parts are fetched.
    current: Mutex<Option<Arc<Save>>>,
}

impl Snapshots {
    /// The saves and restores of `archives`. A directory with one of `mounts` in it is not replaced.
    /// Meanwhile all processes of `user` are stopped, and the helpers among `children` go on.
    pub fn new(
        archives: Arc<Archives>,
        mounts: Arc<Mounts>,
        children: Arc<Children>,
        user: User,
        limits: Limits,
    ) -> Self {
        Self {
            archives,
            mounts,
            children,
            user,
            limits,
            one_at_a_time: Arc::new(Semaphore::new(1)),
            current: Mutex::default(),
        }
    }

    /// Stops the processes of the sandbox. It blocks.
    fn stop(&self) -> Stop {
        let limit = Duration::from_millis(self.limits.save_stop_ms.value);
        Stop::all(&self.children.helpers(), limit)
    }

    /// The inodes of the files that the processes that are stopped have open for writing.
    fn written(&self, stop: &Stop) -> HashSet<u64> {
        let processes = stop.processes();
        match processes.is_empty() {
            true => HashSet::new(),
            false => open_files::written(processes, self.user.ids.clone(), OPEN_FILES_TIMEOUT),
        }
    }
}

/// Serves [`sandboxd::SAVE`] and [`sandboxd::RESTORE`].
pub fn router<S: Clone + Send + Sync + 'static>(snapshots: Arc<Snapshots>) -> Router<S> {
    let below = |path: &str| format!("{}{path}", sandboxd::SAVE);
    Router::new()
        .route(sandboxd::SAVE, post(routes::save))
        .route(&below("/{id}"), axum::routing::delete(routes::end))
        .route(&below("/{id}/part/{number}"), get(routes::part))
        .route(&below("/{id}/contents"), get(routes::contents))
        .route(sandboxd::RESTORE, post(restore::restore))
        .with_state(snapshots)
}
