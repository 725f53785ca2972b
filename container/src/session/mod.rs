//! Sessions: shell state that outlives a command.
//!
//! # Theory of operation
//!
//! No shell lives between the commands of a session. Each command is a process of its own, as
//! without a session, so that nothing can block a session, and timeouts, kills and streams are
//! those of every command. A session saves its [`State`](state::State) in the memory of `sandboxd`.
//!
//! - [`invocation`] parses an argv. A script for `bash -c` or `sh -c`, and a builtin, run in a
//!   shell of the session: their `cd` and `export` count. Any other program gets the session's
//!   directory and environment and cannot change them.
//! - [`plan`] decides whether a shell runs an argv, and how it restores the state.
//! - [`script`] is the command line of a shell, and [`restore`] its commands: it restores the
//!   state, dumps its own, runs the user's script and dumps its own again when it exits, beside the
//!   user's [`trap`]; [`files`] carries them. The [`options`] of its command line come last.
//! - [`parse_dump`], [`functions`] and [`syntax`] read the dumps, and [`state`] applies the difference
//!   between the two: the changes of the script, and neither those of the login profile nor those
//!   for this command alone. An incomplete dump does not count, nor does that of a command that
//!   `sandboxd` ended: the session is as it was before.
//! - [`turn`] runs the commands of one session one after another. Terminals do not wait and are not
//!   waited for; their changes are merged in when they end.
//! - [`prepare`] does all of this for one command, or one terminal.
//!
//! [`table`] has the sessions by their names.

pub mod files;
pub mod functions;
pub mod invocation;
pub mod options;
pub mod overrides;
pub mod parse_dump;
pub mod plan;
pub mod prepare;
pub mod restore;
pub mod routes;
pub mod script;
pub mod state;
pub mod syntax;
pub mod table;
pub mod trap;
pub mod turn;

use std::ffi::OsStr;
use std::fmt::Display;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_protocol::SessionId;
use sandbox_protocol::session::SessionStart;
use tokio::sync::watch;

pub use self::table::Sessions;

use self::files::ShellFiles;
use self::parse_dump::first_and_last;
use self::state::{MAX_STATE, State};
use self::turn::Queue;
use crate::environment::Environment;
use crate::quota::{BufferPermit, Buffers};
use crate::threads::PROCESSES;

/// The maximum size of a shell's dumps, in bytes: twice a state, with its quotes.
const MAX_DUMPS: usize = 4 * MAX_STATE;

/// The size up to which dumps are parsed on the calling thread, in bytes: most are smaller. Larger
/// ones go to another.
const SMALL_DUMPS: u64 = 64 * 1024;

/// The memory of a session that needs no buffer permit, in bytes: most sessions are smaller. So
/// they are saved even when the buffers are full.
const SMALL_STATE: usize = 16 * 1024;

/// One session.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    /// The parameters that it was made from.
    start: SessionStart,
    base: Environment,
    state: Mutex<Arc<State>>,
    /// The permit for the state and `start`.
    buffer_permit: Mutex<BufferPermit>,
    buffers: Buffers,
    queue: Queue,
    deleted: watch::Sender<bool>,
}

/// The part of `bytes` that needs a buffer permit.
fn beyond_small(bytes: usize) -> u64 {
    bytes.saturating_sub(SMALL_STATE) as u64
}

/// The approximate memory of `start`, in bytes.
fn memory_of(start: &SessionStart) -> usize {
    let texts = start.env.iter().map(|(name, value)| name.len() + value.len());
    texts.sum::<usize>() + start.cwd.len()
}

impl Session {
    /// Its name.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The timeout of its commands that have none of their own, in milliseconds.
    pub fn timeout_ms(&self) -> Option<NonZeroU64> {
        self.start.timeout_ms
    }

    /// Whether the client or a command of the session has set or unset the variable `name`.
    pub fn sets(&self, name: &OsStr) -> bool {
        self.state().sets(name)
    }

    /// Resolves when it is deleted.
    pub fn deleted(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut deleted = self.deleted.subscribe();
        async move {
            // Fails when the session itself was dropped.
            let _ = deleted.wait_for(|deleted| *deleted).await;
        }
    }

    /// Saves the changes that a shell of this session left in `files`, once it has ended. Saves
    /// nothing if its dump is incomplete. Fails, with a message for a person, when a part of the
    /// session was lost: what the shell could not restore, or all of its changes, when they exceed
    /// the limit or the buffers are full.
    pub async fn save(self: &Arc<Self>, files: ShellFiles) -> Result<(), String> {
        if files.saved_bytes() <= SMALL_DUMPS {
            return self.save_now(files);
        }
        let session = Arc::clone(self);
        let saved = PROCESSES.run(move || session.save_now(files)).await;
        saved.unwrap_or_else(|e| Err(format!("session {}: its state was not kept: {e}", self.id)))
    }

    /// As [`save`](Self::save). It takes some milliseconds for a megabyte.
    fn save_now(&self, files: ShellFiles) -> Result<(), String> {
        let too_large = || {
            format!(
                "session {}: its state is over {} MiB and was not kept",
                self.id,
                MAX_STATE >> 20
            )
        };
        let not_saved = |why: &dyn Display| format!("session {}: its state was not kept: {why}", self.id);
        let dumps = files
            .take(MAX_DUMPS)
            .map_err(|e| not_saved(&e))?
            .ok_or_else(too_large)?;
        let Some((before, after)) = first_and_last(&dumps) else {
            return Ok(());
        };
        let mut state = self.state();
        let lost = files.restored.lost(&before);
        let mut new = state.after(&before, &after, &self.base.current());
        new.remove(&lost);
        if new.size() > MAX_STATE {
            return Err(too_large());
        }
        let needed = beyond_small(new.memory() + memory_of(&self.start));
        let mut buffer_permit = self.buffer_permit.lock().unwrap_or_else(PoisonError::into_inner);
        self.buffers
            .grow(&mut buffer_permit, needed)
            .map_err(|e| not_saved(&e))?;
        buffer_permit.shrink(needed);
        *state = Arc::new(new);
        if lost.is_empty() {
            return Ok(());
        }
        let lost: Vec<_> = lost.iter().map(ToString::to_string).collect();
        Err(format!(
            "session {}: the shell could not restore {}",
            self.id,
            lost.join(", ")
        ))
    }

    fn state(&self) -> MutexGuard<'_, Arc<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
