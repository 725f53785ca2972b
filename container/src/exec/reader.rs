//! A reader of a process's log, and the body of a response that one fills.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use sandbox_protocol::event::{KEEP_ALIVE, OutputStream};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::yield_now;

use super::event_log::{EventLog, Next, OwnerKind};
use super::stream::EventStream;

/// The followers that forward output at the same time. Each piece of output wakes all followers of
/// its process: without a limit, the task that reads the pipe would run only after all of them, and
/// the process would wait for it.
static FORWARDING: Semaphore = Semaphore::const_new(2);

/// The size below which a frame is joined with the next one, in bytes.
const SMALL_FRAME: usize = 16 * 1024;

/// A reader of a log.
#[derive(Debug)]
pub struct Reader {
    log: Arc<EventLog>,
    changes: watch::Receiver<()>,
    /// The id of the last event that it has got.
    cursor: u64,
    /// The output that it reads; both by default.
    stream: Option<OutputStream>,
    /// The id of the event that it ends with, if it does not follow the log.
    last: Option<u64>,
    /// Set for an owner.
    owner: Option<Owner>,
}

/// An owner, for as long as its reader lives.
#[derive(Debug)]
struct Owner {
    log: Arc<EventLog>,
    key: u64,
    /// The number of comments that it has written.
    comments: u64,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.log.disconnect(self.key);
    }
}

impl Reader {
    /// A reader that continues behind the event `cursor` and delays nobody.
    pub fn follower(log: &Arc<EventLog>, cursor: u64, stream: Option<OutputStream>) -> Self {
        Self {
            changes: log.changes(),
            log: Arc::clone(log),
            cursor,
            stream,
            last: None,
            owner: None,
        }
    }

    /// As [`follower`](Self::follower), up to the present end of the log.
    pub fn present(log: &Arc<EventLog>, cursor: u64, stream: Option<OutputStream>) -> Self {
        Self {
            last: Some(log.last_id()),
            ..Self::follower(log, cursor, stream)
        }
    }

    /// An owner that continues behind the event `cursor`: the process waits for it.
    pub fn owner(log: &Arc<EventLog>, cursor: u64, kind: OwnerKind) -> Self {
        let owner = Owner {
            key: log.connect(cursor, kind),
            comments: log.comments(),
            log: Arc::clone(log),
        };
        Self {
            owner: Some(owner),
            ..Self::follower(log, cursor, None)
        }
    }

    /// The next events in wire format, or a comment; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.changes.mark_unchanged();
            if self.is_at_end() {
                return None;
            }
            let permit = match self.owner {
                Some(_) => None,
                // Cannot fail: nobody closes it.
                None => FORWARDING.acquire().await.ok(),
            };
            match self.log.next(&mut self.cursor, self.stream) {
                Next::End => return None,
                Next::Events(events) => {
                    if let Some(owner) = &self.owner {
                        self.log.taken(owner.key, self.cursor);
                    }
                    permit.into_iter().for_each(release_later);
                    return Some(events);
                }
                // Events of the other output may have been skipped.
                Next::Nothing if self.is_at_end() => return None,
                Next::Nothing => drop(permit),
            }
            if let Some(owner) = &mut self.owner {
                let comments = self.log.comments();
                if comments > owner.comments {
                    owner.comments = comments;
                    return Some(Bytes::from_static(KEEP_ALIVE.as_bytes()));
                }
            }
            // Cannot fail: the sender lives as long as the log.
            let _ = self.changes.changed().await;
        }
    }

    fn is_at_end(&self) -> bool {
        self.last.is_some_and(|last| self.cursor >= last)
    }

    /// The events as the body of a response.
    pub fn into_body(self) -> Body {
        let events = stream::unfold(self, async |mut reader: Self| {
            let events = reader.next().await?;
            Some((reader.join(events), reader))
        });
        Body::new(EventStream::new(events))
    }

    /// `events`, and those behind them that are there, up to about [`SMALL_FRAME`]: a log of many
    /// small events is sent in few frames.
    fn join(&mut self, events: Bytes) -> Bytes {
        let mut joined = Vec::new();
        while events.len() + joined.len() < SMALL_FRAME && !self.is_at_end() {
            let Next::Events(more) = self.log.next(&mut self.cursor, self.stream) else {
                break;
            };
            joined.extend_from_slice(&more);
        }
        if joined.is_empty() {
            return events;
        }
        if let Some(owner) = &self.owner {
            self.log.taken(owner.key, self.cursor);
        }
        [&events[..], &joined].concat().into()
    }
}

/// Releases `permit` once the caller's task has sent what it has read, and every other task that
/// was ready before has run.
fn release_later(permit: SemaphorePermit<'static>) {
    tokio::spawn(async move {
        yield_now().await;
        drop(permit);
    });
}
