//! The wait of a command that has not been started.

use bytes::Bytes;
use sandbox_protocol::{ErrorBody, Event};
use std::io;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::task::expired;
use crate::Error;
use crate::process::shell_error::ShellError;
use crate::session::Session;

/// The events that end the wait of a command that has not been started.
pub struct Wait<'a> {
    /// The time at which the command times out.
    pub deadline: Option<Instant>,
    /// Its client, unless the command goes on without.
    pub client: Option<&'a Sender<Bytes>>,
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
        let left = async {
            match self.client {
                Some(events) => events.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = deleted => Err(Unstarted::Deleted(self.session.map(|session| session.id().to_string()).unwrap_or_default())),
            result = result => Ok(result),
            () = expired(self.deadline) => Err(Unstarted::Shell(ShellError::timed_out(timeout_message()))),
            () = left => Err(Unstarted::Abandoned),
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
}

impl Unstarted {
    /// The events that report it, in wire format.
    pub fn into_wire(self) -> Vec<u8> {
        let error = match self {
            Self::Shell(error) => return error.into_wire(),
            Self::Abandoned => return Vec::new(),
            Self::Unusable(error) => error,
            Self::Failed(e) => Error::Exec(e),
            Self::Deleted(id) => {
                Error::Session(format!("session {id} was deleted before the command was started"))
            }
        };
        let mut wire = Vec::new();
        Event::Error(ErrorBody::new(error.parts().1, error.to_string())).write_to(Some(1), &mut wire);
        wire
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
