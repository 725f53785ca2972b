//! The wait of a command that has not been started.

use std::io;
use std::time::Duration;

use sandbox_protocol::{ErrorBody, ErrorCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::ending::{wait_abandoned, wait_deadline};
use super::event_log::EventLog;
use super::process::Process;
use crate::Error;
use crate::process::shell_error::ShellError;
use crate::session::Session;

/// The events that end the wait of a command that has not been started.
pub struct Wait<'a> {
    /// The time at which the command times out.
    pub deadline: Option<Instant>,
    /// Its log, whose owner is its client.
    pub log: &'a EventLog,
    /// The time for which it goes on without its client; `None`: always.
    pub linger: Option<Duration>,
    /// Its requested end.
    pub ending: &'a watch::Receiver<bool>,
    /// Its session, if it has one.
    pub session: Option<&'a Session>,
}

impl Wait<'_> {
    /// Waits for `result`. Errors: the command's deadline passes first, with the message
    /// `timeout_message`, or its session is deleted, or its client leaves.
    pub async fn for_result<T>(
        &self,
        result: impl Future<Output = T>,
        timeout_message: impl FnOnce() -> String,
    ) -> Result<T, Unstarted> {
        let deleted = async {
            match self.session {
                Some(session) => session.deleted().await,
                None => std::future::pending().await,
            }
        };
        let left = wait_abandoned(self.log, self.linger);
        let mut ending = self.ending.clone();
        tokio::select! {
            biased;
            () = deleted => Err(Unstarted::Deleted(self.session.map(|session| session.id().to_string()).unwrap_or_default())),
            result = result => Ok(result),
            () = wait_deadline(self.deadline) => Err(Unstarted::Shell(ShellError::timed_out(timeout_message()))),
            () = left => Err(Unstarted::Abandoned),
            Ok(_) = ending.wait_for(|ending| *ending) => Err(Unstarted::Ended),
        }
    }
}

/// The reason why a command was not started.
pub enum Unstarted {
    /// Its program cannot be executed, or it timed out.
    Shell(ShellError),
    /// The kernel could not start anything.
    Failed(io::Error),
    /// Its directory cannot be used.
    Unusable(Error),
    /// Its session was deleted.
    Deleted(String),
    /// Its client left.
    Abandoned,
    /// A client ended it.
    Ended,
}

impl Unstarted {
    /// Writes the reason to the log of `process`, and ends it.
    pub fn report(self, process: &Process) {
        let error = match self {
            Self::Shell(error) => {
                process.log.write_line(&error.message);
                return process.finish(Ok(error.exit()));
            }
            Self::Abandoned => ErrorBody::new(ErrorCode::ExecError, "its client left before it was started"),
            Self::Ended => ErrorBody::new(ErrorCode::ExecError, "it was ended before it was started"),
            Self::Unusable(error) => error.body(),
            Self::Failed(e) => Error::Exec(e).body(),
            Self::Deleted(id) => {
                Error::Session(format!("session {id} was deleted before the command was started")).body()
            }
        };
        process.finish(Err(error));
    }
}

impl From<ShellError> for Unstarted {
    fn from(error: ShellError) -> Self {
        Self::Shell(error)
    }
}

impl From<Error> for Unstarted {
    fn from(error: Error) -> Self {
        Self::Unusable(error)
    }
}
