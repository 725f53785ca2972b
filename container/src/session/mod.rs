//! Sessions: shell state that outlives a command.
//!
//! # Theory of operation
//!
//! No shell lives between the commands of a session. Each command is a process of its own, as without a session, so that
//! nothing can wedge a session, and timeouts, kills and streams are those of every command. What a session keeps is a
//! [`State`](state::State) in the memory of `sandboxd`.
//!
//! - [`invocation`]: what an argv means. A script for `bash -c` or `sh -c`, and a builtin, run in a shell of the session: their
//!   `cd` and `export` count. Any other program gets the session's directory and environment and cannot change them.
//! - [`script`]: what a shell is told. It restores the state, dumps itself, runs the user's script and dumps itself again
//!   when it exits; [`files`] carries the texts.
//! - [`dump`] and [`words`] read the dumps, and [`state`] takes over the difference between the two: what the script did, and
//!   neither what the login profile did nor what was set for this command alone. A dump is complete or does not count. One of
//!   a command that did not end by itself does not count either: the session is as it was before.
//! - [`turn`]: the commands of one session run one after another. Terminals do not wait and are not waited for; what they
//!   changed is merged in when they end.
//! - [`prepare`]: all of this for one command, or one terminal.

pub mod directory;
pub mod dump;
pub mod files;
pub mod invocation;
pub mod prepare;
pub mod routes;
pub mod script;
pub mod state;
pub mod turn;
pub mod words;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use sandbox_protocol::session::{SESSION_HEADER, SessionStart};
use sandbox_protocol::{Invalid, Limits, SessionId, WorkspacePath};
use tokio::sync::watch;

use self::dump::first_and_last;
use self::files::ShellFiles;
use self::state::{Env, MAX_STATE, State};
use self::turn::Queue;
use crate::quota::{Buffers, Permit, Quota, Room};
use crate::{Config, Error};

/// The most that a shell may say of itself, in bytes: twice a state, with its quotes.
const MAX_DUMPS: usize = 4 * MAX_STATE;

/// So much of a session needs no room in the buffers, in bytes: more than most have of all. So they are kept, whatever else
/// is going on.
const SMALL: usize = 16 * 1024;

/// All sessions.
#[derive(Debug)]
pub struct Sessions {
    workspace: PathBuf,
    /// What every command starts with.
    base: Arc<Env>,
    buffers: Buffers,
    limits: Limits,
    room: Quota,
    by_id: Mutex<HashMap<SessionId, Entered>>,
}

/// A session in the table.
#[derive(Debug)]
struct Entered {
    session: Arc<Session>,
    /// Its place in the table; the default session needs none: it is always there.
    _permit: Option<Permit>,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    /// What it was made from.
    start: SessionStart,
    base: Arc<Env>,
    state: Mutex<State>,
    /// That of the state and of `start`.
    room: Mutex<Room>,
    buffers: Buffers,
    queue: Queue,
    deleted: watch::Sender<bool>,
}

impl Sessions {
    /// No session yet, for commands that run as `config` says. They, and what asks for them, take room in `buffers`.
    pub fn new(config: &Config, buffers: Buffers) -> Self {
        files::reserve();
        Self {
            workspace: config.workspace.clone(),
            base: Arc::new(config.user.env.clone()),
            buffers,
            limits: config.limits,
            room: Quota::new("sessions", config.limits.max_sessions),
            by_id: Mutex::default(),
        }
    }

    /// The session `id`, made with the defaults if there is none. Fails when there are too many.
    pub fn open(&self, id: &SessionId) -> Result<Arc<Session>, Error> {
        self.find_or_make(id, &SessionStart::default())
    }

    /// The session that a request names in its header, if it does.
    pub fn of_request(&self, headers: &HeaderMap) -> Result<Option<Arc<Session>>, Error> {
        let Some(id) = headers.get(SESSION_HEADER) else {
            return Ok(None);
        };
        let id = SessionId::parse(id.to_str().unwrap_or_default())?;
        self.open(&id).map(Some)
    }

    /// Makes the session `id` from `start`. Fails when there is one that was made from something else, when its directory
    /// is not there, when there are too many, or when the buffers have no room for it.
    pub fn create(&self, id: &SessionId, start: &SessionStart) -> Result<(), Error> {
        let session = self.find_or_make(id, start)?;
        if session.start != *start {
            return Err(Error::SessionExists(id.to_string()));
        }
        Ok(())
    }

    /// Deletes the session `id` and ends its running command; returns when that has ended. Commands that wait for their turn
    /// are not started.
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

    fn find_or_make(&self, id: &SessionId, start: &SessionStart) -> Result<Arc<Session>, Error> {
        let mut by_id = self.by_id();
        match by_id.entry(id.clone()) {
            Entry::Occupied(found) => Ok(Arc::clone(&found.get().session)),
            Entry::Vacant(_) if id.is_default() && *start != SessionStart::default() => {
                Err(Error::SessionExists(id.to_string()))
            }
            Entry::Vacant(place) => {
                let cwd = directory_of(&self.workspace, &start.cwd);
                if !cwd.is_dir() {
                    return Err(Invalid::request(format!("cwd is not a directory: {}", start.cwd)).into());
                }
                let permit = (!id.is_default()).then(|| self.room.take()).transpose()?;
                let state = State::new(cwd, &start.env);
                let room = self
                    .buffers
                    .take(beyond_small(state.memory() + memory_of(start)))?;
                let session = Arc::new(Session {
                    id: id.clone(),
                    start: start.clone(),
                    base: Arc::clone(&self.base),
                    state: Mutex::new(state),
                    room: Mutex::new(room),
                    buffers: self.buffers.clone(),
                    queue: Queue::new(self.limits.max_session_queue),
                    deleted: watch::Sender::new(false),
                });
                place.insert(Entered {
                    session: Arc::clone(&session),
                    _permit: permit,
                });
                Ok(session)
            }
        }
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<SessionId, Entered>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of so many bytes needs room in the buffers.
fn beyond_small(bytes: usize) -> u64 {
    bytes.saturating_sub(SMALL) as u64
}

/// How much memory it takes, in bytes, about.
fn memory_of(start: &SessionStart) -> usize {
    let texts = start.env.iter().map(|(name, value)| name.len() + value.len());
    texts.sum::<usize>() + start.cwd.len()
}

/// The directory that clients call `cwd`.
fn directory_of(workspace: &Path, cwd: &str) -> PathBuf {
    match WorkspacePath::parse("cwd", cwd) {
        Ok(path) => directory::of_path(workspace, &path),
        Err(_) => cwd.into(),
    }
}

impl Session {
    /// Its name.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Resolves when it is deleted.
    pub fn deleted(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut deleted = self.deleted.subscribe();
        async move {
            // An error says that the session itself is gone.
            let _ = deleted.wait_for(|deleted| *deleted).await;
        }
    }

    /// Keeps what a shell of this session left in `files`, once it has ended. Nothing is kept of one that has not said it
    /// all. Fails, with words for a person, when it is too much to keep, or more than the buffers have room for; the session
    /// is then as it was before.
    pub fn keep(&self, files: ShellFiles) -> Result<(), String> {
        let too_large = || {
            format!(
                "session {}: its state is over {} MiB and was not kept",
                self.id,
                MAX_STATE >> 20
            )
        };
        let not_kept = |why: &dyn Display| format!("session {}: its state was not kept: {why}", self.id);
        let said = files
            .take(MAX_DUMPS)
            .map_err(|e| not_kept(&e))?
            .ok_or_else(too_large)?;
        let Some((before, after)) = first_and_last(&said) else {
            return Ok(());
        };
        let mut state = self.state();
        let new = state.after(&before, &after, &self.base);
        if new.size() > MAX_STATE {
            return Err(too_large());
        }
        let needed = beyond_small(new.memory() + memory_of(&self.start));
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        self.buffers.grow(&mut room, needed).map_err(|e| not_kept(&e))?;
        room.shrink(needed);
        *state = new;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
