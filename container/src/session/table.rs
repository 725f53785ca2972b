//! The sessions of a sandbox, by their names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use sandbox_protocol::session::{SESSION_HEADER, SessionStart};
use sandbox_protocol::{Invalid, Limits, SessionId, WorkspacePath};
use tokio::sync::watch;

use super::state::State;
use super::turn::Queue;
use super::{Session, beyond_small, memory_of};
use crate::environment::Environment;
use crate::process::directory;
use crate::quota::{Buffers, Permit, Quota};
use crate::threads::PATHS;
use crate::{Config, Error};

/// All sessions.
#[derive(Debug)]
pub struct Sessions {
    workspace: PathBuf,
    /// The environment that every command starts with.
    base: Environment,
    /// The memory for the sessions, and for the requests that make them.
    pub(super) buffers: Buffers,
    limits: Limits,
    quota: Quota,
    by_id: Mutex<HashMap<SessionId, Entered>>,
}

/// A session in the table.
#[derive(Debug)]
struct Entered {
    session: Arc<Session>,
    /// Its slot in the table; the default session needs none: it always exists.
    _permit: Option<Permit>,
}

impl Sessions {
    /// An empty table, for commands that run as `config` says. The sessions, and the requests for
    /// them, are counted in `buffers`.
    pub fn new(config: &Config, buffers: Buffers) -> Self {
        Self {
            workspace: config.workspace.clone(),
            base: config.user.env.clone(),
            buffers,
            limits: config.limits,
            quota: Quota::new("sessions", config.limits.max_sessions),
            by_id: Mutex::default(),
        }
    }

    /// The session `id`; makes it with the defaults if there is none. Fails when there are too
    /// many.
    pub async fn open(&self, id: &SessionId) -> Result<Arc<Session>, Error> {
        self.find_or_create(id, &SessionStart::default()).await
    }

    /// The session that the header of a request names, if there is one.
    pub async fn for_request(&self, headers: &HeaderMap) -> Result<Option<Arc<Session>>, Error> {
        let Some(id) = headers.get(SESSION_HEADER) else {
            return Ok(None);
        };
        let id = SessionId::parse(id.to_str().unwrap_or_default())?;
        self.open(&id).await.map(Some)
    }

    /// Makes the session `id` from `start`. Fails when one exists that was made from other
    /// parameters, when its directory does not exist, when there are too many, or when the buffers
    /// are full.
    pub async fn create(&self, id: &SessionId, start: &SessionStart) -> Result<(), Error> {
        let session = self.find_or_create(id, start).await?;
        if session.start != *start {
            return Err(Error::SessionExists(id.to_string()));
        }
        Ok(())
    }

    /// Deletes the session `id` and ends its running command; returns when that has ended. Commands
    /// that wait for their turn are not started.
    pub async fn delete(&self, id: &SessionId) -> Result<(), Error> {
        if id.is_default() {
            return Err(Error::Session("the default session cannot be deleted".into()));
        }
        let session = self
            .by_id()
            .remove(id)
            .ok_or_else(|| Error::SessionNotFound(id.to_string()))?;
        let Entered { session, _permit } = session;
        session.deleted.send_replace(true);
        session.queue.wait_until_idle().await;
        Ok(())
    }

    async fn find_or_create(&self, id: &SessionId, start: &SessionStart) -> Result<Arc<Session>, Error> {
        let found = self.by_id().get(id).map(|found| Arc::clone(&found.session));
        if let Some(found) = found {
            return Ok(found);
        }
        let cwd = directory_of(&self.workspace, &start.cwd);
        let permit = if id.is_default() {
            if *start != SessionStart::default() {
                return Err(Error::SessionExists(id.to_string()));
            }
            None
        } else {
            // Without the lock of the table: the file system may not answer.
            let (permit, directory) = (self.quota.take()?, cwd.clone());
            let check = PATHS.run_with_timeout(move || (permit, directory.is_dir())).await;
            let (permit, is_directory) =
                check.map_err(|e| Error::Session(format!("cwd: {}: {e}", start.cwd)))?;
            if !is_directory {
                return Err(Invalid::request(format!("cwd is not a directory: {}", start.cwd)).into());
            }
            Some(permit)
        };
        let state = State::new(cwd, &start.env);
        let buffer_permit = self
            .buffers
            .take(beyond_small(state.memory() + memory_of(start)))?;
        let session = Session {
            id: id.clone(),
            start: start.clone(),
            base: self.base.clone(),
            state: Mutex::new(Arc::new(state)),
            buffer_permit: Mutex::new(buffer_permit),
            buffers: self.buffers.clone(),
            queue: Queue::new(self.limits.max_session_queue),
            deleted: watch::Sender::new(false),
        };
        // Another request may have entered it meanwhile.
        let mut by_id = self.by_id();
        let entered = by_id.entry(id.clone()).or_insert_with(|| Entered {
            session: Arc::new(session),
            _permit: permit,
        });
        Ok(Arc::clone(&entered.session))
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<SessionId, Entered>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory that clients call `cwd`.
fn directory_of(workspace: &Path, cwd: &str) -> PathBuf {
    match WorkspacePath::parse("cwd", cwd) {
        Ok(path) => directory::resolve(workspace, &path),
        Err(_) => cwd.into(),
    }
}
