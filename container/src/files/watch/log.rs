//! The last events of a watch.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox_protocol::file::{KEPT_EVENTS, WatchEvent, WatchEventType};
use tokio::sync::Notify;

/// The most bytes of paths that are kept.
const KEPT_BYTES: usize = 2 << 20;

/// The most events that a client gets at a time.
const PART: usize = 256;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Event(WatchEventType, WatchEvent),
    /// Events are missing here.
    Overflow,
}

/// The events of a watch. Their ids begin at a number that no earlier watch of the boot has
/// reached, so that an id of one is not taken for one of another.
#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Record>,
    /// The id of the first event that is kept.
    first: u64,
    /// The bytes of their paths.
    bytes: usize,
    has_ended: bool,
}

/// The events behind a cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Events(Vec<(u64, Record)>),
    /// Events behind the cursor are not kept any more. `resume` is the cursor to go on with.
    Lost {
        resume: u64,
    },
    /// Nothing comes any more.
    End,
}

impl State {
    fn last(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }

    fn events_after(&self, cursor: u64, most: usize) -> Option<Vec<(u64, Record)>> {
        if cursor > self.last() {
            return None;
        }
        let skipped = (cursor + 1).checked_sub(self.first)?;
        let events = (cursor + 1..).zip(self.events.iter().skip(skipped as usize).cloned());
        Some(events.take(most).collect())
    }
}

impl Log {
    /// An empty log.
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            state: Mutex::new(State {
                events: VecDeque::new(),
                // Below 2^53, so that every JSON parser reads it.
                first: u64::try_from(now.as_micros()).unwrap_or(1),
                bytes: 0,
                has_ended: false,
            }),
            changed: Notify::new(),
        }
    }

    /// Adds events.
    pub(super) fn push(&self, events: Vec<Record>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.state();
        for record in events {
            state.bytes += size(&record);
            state.events.push_back(record);
            while state.events.len() > KEPT_EVENTS || state.bytes > KEPT_BYTES {
                let Some(oldest) = state.events.pop_front() else {
                    break;
                };
                state.bytes -= size(&oldest);
                state.first += 1;
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Ends the log.
    pub(super) fn end(&self) {
        self.state().has_ended = true;
        self.changed.notify_waiters();
    }

    /// The id of the last event; one less than that of the first one before there is any.
    pub(super) fn last_id(&self) -> u64 {
        self.state().last()
    }

    /// Whether nothing comes any more.
    pub(super) fn has_ended(&self) -> bool {
        self.state().has_ended
    }

    /// All events behind a cursor, and the id of the last. `None`: some are not kept any more.
    pub(super) fn events_after(&self, cursor: u64) -> Option<(u64, Vec<(u64, Record)>)> {
        let state = self.state();
        Some((state.last(), state.events_after(cursor, usize::MAX)?))
    }

    /// The next events behind a cursor, once there are any.
    pub(super) async fn next(&self, cursor: u64) -> Next {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                match state.events_after(cursor, PART) {
                    None => {
                        let resume = match cursor > state.last() {
                            true => state.last(),
                            false => state.first - 1,
                        };
                        return Next::Lost { resume };
                    }
                    Some(events) if !events.is_empty() => return Next::Events(events),
                    Some(_) if state.has_ended => return Next::End,
                    Some(_) => {}
                }
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About the bytes of an event.
fn size(record: &Record) -> usize {
    let paths = match record {
        Record::Overflow => 0,
        Record::Event(_, event) => event.path.len() + event.from.as_ref().map_or(0, String::len),
    };
    size_of::<Record>() + paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(path: &str) -> Record {
        let event = WatchEvent {
            path: path.to_owned(),
            from: None,
            is_directory: false,
        };
        Record::Event(WatchEventType::Created, event)
    }

    #[tokio::test]
    async fn a_cursor_gets_each_event_once_or_learns_of_the_loss() {
        let log = Log::new();
        let start = log.last_id();
        log.push((0..10).map(|i| created(&i.to_string())).collect());
        let Next::Events(events) = log.next(start + 3).await else {
            panic!("no events");
        };
        let ids: Vec<u64> = events.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, (start + 4..=start + 10).collect::<Vec<_>>());
        assert_eq!(events[0].1, created("3"));
        assert_eq!(log.events_after(log.last_id()).unwrap().1, []);
        // Of another watch.
        for other in [start - 1, 0, log.last_id() + 1] {
            assert!(log.events_after(other).is_none());
        }
        assert_eq!(
            log.next(u64::MAX - 1).await,
            Next::Lost {
                resume: log.last_id()
            }
        );
        log.push((0..KEPT_EVENTS).map(|i| created(&i.to_string())).collect());
        assert!(log.events_after(start + 9).is_none());
        let Next::Lost { resume } = log.next(start).await else {
            panic!("nothing is lost");
        };
        assert_eq!(resume, start + 10);
        assert_eq!(log.events_after(resume).unwrap().1.len(), KEPT_EVENTS);
        log.end();
        assert_eq!(log.next(log.last_id()).await, Next::End);
    }
}
