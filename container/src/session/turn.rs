//! The queue of a session's commands, which run one after another.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use sandbox_protocol::limits::Limit;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::Session;
use super::files::ShellFiles;
use crate::Error;
use crate::quota::{Permit, Quota};

/// The commands of a session that wait or run.
#[derive(Debug)]
pub struct Queue {
    turn: Arc<Mutex<()>>,
    quota: Quota,
    /// The number of commands that wait for their turn.
    waiting: Arc<watch::Sender<usize>>,
}

impl Queue {
    /// An empty queue, for at most `limit` commands.
    pub fn new(limit: Limit) -> Self {
        Self {
            turn: Arc::default(),
            quota: Quota::new("commands of a session", limit),
            waiting: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Returns when no command runs or waits that came before.
    pub async fn wait_until_idle(&self) {
        drop(self.turn.lock().await);
    }
}

/// A position in a queue. Dropping it leaves the queue.
pub struct QueuePosition {
    counted: Counted,
    turn: Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>,
    /// The lock, if the turn came at once.
    immediate: Option<OwnedMutexGuard<()>>,
    /// Counts it while it waits.
    waiting: Option<Waiting>,
}

/// Counts a command that waits for its turn.
struct Waiting(Arc<watch::Sender<usize>>);

impl Waiting {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// The turn of a command of a session. The next command's turn comes when this is dropped.
#[derive(Debug)]
pub struct Turn {
    counted: Counted,
    _turn: OwnedMutexGuard<()>,
    /// The descriptors of a shell that saves the session's state.
    pub files: Option<ShellFiles>,
}

/// Counts as one entry in the queue of a session.
#[derive(Debug)]
struct Counted {
    session: Arc<Session>,
    _permit: Permit,
}

impl Session {
    /// Enters the queue at its end. Fails when too many wait.
    pub async fn enqueue(self: &Arc<Self>) -> Result<QueuePosition, Error> {
        let counted = Counted {
            _permit: self.queue.quota.take()?,
            session: Arc::clone(self),
        };
        let mut turn: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(Arc::clone(&self.queue.turn).lock_owned());
        // Polled here, so that the order is that of the requests.
        let immediate = poll_fn(|context| {
            Poll::Ready(match turn.as_mut().poll(context) {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => None,
            })
        });
        let immediate = immediate.await;
        Ok(QueuePosition {
            counted,
            turn,
            waiting: immediate.is_none().then(|| Waiting::new(&self.queue.waiting)),
            immediate,
        })
    }

    /// Resolves when a command waits for its turn.
    pub async fn wait_until_contended(&self) {
        let mut waiting = self.queue.waiting.subscribe();
        // Cannot fail: the sender lives as long as the session.
        let _ = waiting.wait_for(|count| *count > 0).await;
    }
}

impl QueuePosition {
    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.counted.session
    }

    /// Waits until all commands before this one have ended.
    pub async fn turn(self) -> Turn {
        let turn = match self.immediate {
            Some(turn) => turn,
            None => self.turn.await,
        };
        drop(self.waiting);
        Turn {
            counted: self.counted,
            _turn: turn,
            files: None,
        }
    }
}

impl fmt::Debug for QueuePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueuePosition").field(self.session()).finish()
    }
}

impl Turn {
    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.counted.session
    }

    /// Saves the changes of a command that has exited, and lets the next one start. Fails, with a
    /// message for a person, when they cannot be saved.
    pub async fn save(mut self) -> Result<(), String> {
        match self.files.take() {
            Some(files) => self.session().save(files).await,
            None => Ok(()),
        }
    }
}
