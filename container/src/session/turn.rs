//! The order of a session's commands: one after another, as they came.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use sandbox_protocol::limits::Limit;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Session;
use super::files::ShellFiles;
use crate::Error;
use crate::quota::{Permit, Quota};

/// The commands of a session that wait or run.
#[derive(Debug)]
pub struct Queue {
    turn: Arc<Mutex<()>>,
    room: Quota,
}

impl Queue {
    /// An empty queue, for as many commands as `limit` says.
    pub fn new(limit: Limit) -> Self {
        Self {
            turn: Arc::default(),
            room: Quota::new("commands of a session", limit),
        }
    }

    /// Returns when nothing runs, and nothing waits that came before.
    pub async fn wait_until_idle(&self) {
        drop(self.turn.lock().await);
    }
}

/// A place in a queue. Whoever drops it has left.
pub struct Place {
    counted: Counted,
    turn: Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>,
    /// It came at once.
    has_come: Option<OwnedMutexGuard<()>>,
}

/// A command of a session whose turn it is. The next one's comes when this is dropped.
#[derive(Debug)]
pub struct Turn {
    counted: Counted,
    _turn: OwnedMutexGuard<()>,
    /// What its shell has open, if it is one that keeps the session's state.
    pub files: Option<ShellFiles>,
}

/// Counts as one in the queue of a session.
#[derive(Debug)]
struct Counted {
    session: Arc<Session>,
    _permit: Permit,
}

impl Session {
    /// A place at the end of the queue. Fails when too many wait.
    pub async fn enqueue(self: &Arc<Self>) -> Result<Place, Error> {
        let counted = Counted {
            _permit: self.queue.room.take()?,
            session: Arc::clone(self),
        };
        let mut turn: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(Arc::clone(&self.queue.turn).lock_owned());
        // Asked for here, so that the order is that of the requests.
        let has_come = poll_fn(|context| {
            Poll::Ready(match turn.as_mut().poll(context) {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => None,
            })
        });
        let has_come = has_come.await;
        Ok(Place {
            counted,
            turn,
            has_come,
        })
    }
}

impl Place {
    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.counted.session
    }

    /// Waits until all commands before this one have ended.
    pub async fn turn(self) -> Turn {
        let turn = match self.has_come {
            Some(turn) => turn,
            None => self.turn.await,
        };
        Turn {
            counted: self.counted,
            _turn: turn,
            files: None,
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(self.session()).finish()
    }
}

impl Turn {
    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.counted.session
    }

    /// The command has ended by itself: keeps what it did to the session, and lets the next one start. Fails, with words
    /// for a person, when that is too much to keep.
    pub fn keep(mut self) -> Result<(), String> {
        match self.files.take() {
            Some(files) => self.session().keep(files),
            None => Ok(()),
        }
    }
}
