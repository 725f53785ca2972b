//! The log of a process: its events in wire format, for any number of readers.
//!
//! # Theory of operation
//!
//! The task of a process appends [chunks](Chunk) of events as it reads the pipes. Each
//! [reader](super::reader) has a cursor, the id of the last event that it has got, and takes the
//! chunks behind it. They are shared, not copied.
//!
//! The log keeps the first part and the last part of the output, and drops what is between them. A
//! reader that comes to dropped events gets a `gap` event in their place.
//!
//! Output that no owner waits for is kept as it was read, see [`chunk`]. The first reader that comes
//! to it encodes it, outside the lock.
//!
//! Some readers are *owners*: the client of the command, and clients that are attached to it. The
//! task appends only when every owner has taken all but the last `CHUNKS_AHEAD` chunks. This is
//! the whole flow control: while an owner does not read, the task reads no output, the pipes fill
//! up and the command waits. Other readers delay nobody. When the last owner of a command with a
//! linger time disconnects, the log drops nothing for that time, and the command waits when the log
//! is full: so an owner that returns misses nothing.

mod chunk;
mod part;
mod state;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sandbox_protocol::event::{Exit, OutputStream};
use sandbox_protocol::{ErrorBody, Event, Invalid};
use tokio::sync::watch;
use tokio::time::timeout;

use self::chunk::Chunk;
use self::part::Part;
pub use self::state::OwnerKind;
use self::state::{Found, Owner, State};
use super::budget::LogBudget;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The exit, or the reason why it is not known.
    pub result: Result<Exit, ErrorBody>,
    /// The time.
    pub at: SystemTime,
}

/// The log of a process.
#[derive(Debug)]
pub struct EventLog {
    state: Mutex<State>,
    /// Locked while events get their ids, without the lock of the state.
    appending: Mutex<()>,
    /// Changes when a reader may have something to do.
    appended: watch::Sender<()>,
    /// Changes when an owner has taken events, has come or has left.
    owners: watch::Sender<()>,
    /// The end of the process. Known before the log is complete if an owner does not read. Not in the
    /// state: the registry asks for it under its own lock, for which a log that needs memory waits.
    known_end: OnceLock<End>,
}

/// The next part of a stream for a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Events in wire format. The cursor is behind them.
    Events(Bytes),
    /// The stream ends here.
    End,
    /// There is nothing yet.
    Nothing,
}

/// The bytes that a process has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// To its standard output.
    pub stdout: u64,
    /// To its standard error.
    pub stderr: u64,
    /// Whether the log has lost some of them.
    pub is_truncated: bool,
}

impl EventLog {
    /// An empty log that keeps `limit` bytes of the beginning of the output, and `limit` bytes of
    /// its end, as far as `budget` allows. `lingers`: the command has a linger time.
    pub fn new(limit: u64, lingers: bool, budget: LogBudget) -> Self {
        Self {
            state: Mutex::new(State::new(limit, lingers, budget)),
            appending: Mutex::default(),
            appended: watch::Sender::new(()),
            known_end: OnceLock::new(),
            owners: watch::Sender::new(()),
        }
    }

    /// Resolves when the next chunk may be appended.
    pub async fn ready(&self) {
        let mut changed = self.owners.subscribe();
        while !self.state().may_append() {
            // Cannot fail: the sender lives as long as the log.
            let _ = changed.changed().await;
        }
    }

    /// Appends `output`, which the process has written to `stream`, and may take it.
    pub fn append(&self, stream: OutputStream, output: &mut Vec<u8>) {
        let _appending = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        if state.is_complete || output.is_empty() {
            return;
        }
        if let Some(written) = state.written.get_mut(stream as usize) {
            *written += output.len() as u64;
        }
        let is_awaited = !state.owners.is_empty();
        if is_awaited || !state.grow_last(stream, output) {
            let first = state.last_id + 1;
            drop(state);
            // Without the lock: it encodes output that an owner waits for.
            let chunk = Chunk::output(stream, first, output, is_awaited);
            state = self.state();
            state.push(chunk);
        }
        drop(state);
        self.appended.send_replace(());
    }

    /// Whether output is only for followers, which the process must not leave behind for want of
    /// time on a processor.
    pub fn has_only_followers(&self) -> bool {
        self.appended.receiver_count() > 0 && self.state().owners.is_empty()
    }

    /// Appends a line of `sandboxd`, as if the process had written it to its standard error.
    pub fn write_line(&self, line: &str) {
        self.append(OutputStream::Stderr, &mut format!("{line}\n").into_bytes());
    }

    /// Appends an event that is no output.
    pub fn append_event(&self, event: &Event) {
        let _appending = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        self.state().push_event(event);
        self.appended.send_replace(());
    }

    /// Appends the last event. A log that has ended stays as it is.
    pub fn finish(&self, result: Result<Exit, ErrorBody>) {
        let _appending = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        if state.is_complete {
            return;
        }
        let event = match &result {
            Ok(exit) => Event::Exit(exit.clone()),
            Err(error) => Event::Error(error.clone()),
        };
        state.push_event(&event);
        state.is_complete = true;
        let at = SystemTime::now();
        self.known_end.get_or_init(|| End { result, at });
        drop(state);
        self.appended.send_replace(());
    }

    /// Lets every owner write a comment, see [`probe`](super::disconnect).
    pub fn write_comment(&self) {
        self.state().comments += 1;
        self.appended.send_replace(());
    }

    /// The number of comments so far.
    pub fn comments(&self) -> u64 {
        self.state().comments
    }

    /// The next events behind `cursor`, which moves behind them: those of `stream`, or of both
    /// outputs.
    pub fn next(&self, cursor: &mut u64, stream: Option<OutputStream>) -> Next {
        let mut state = self.state();
        match state.next(cursor, stream) {
            Found::End => Next::End,
            Found::Nothing => Next::Nothing,
            Found::Gap(gap) => {
                let mut wire = Vec::new();
                Event::Gap(gap).write_to(Some(gap.last), &mut wire);
                Next::Events(wire.into())
            }
            Found::Chunk(first, before) => {
                let Some(mut chunk) = state.kept(first).map(Chunk::share) else {
                    return Next::Nothing;
                };
                drop(state);
                if chunk.encode()
                    && let Some(kept) = self.state().kept(first)
                {
                    kept.clone_from(&chunk);
                }
                Next::Events(chunk.behind(before))
            }
        }
    }

    /// A receiver that sees every change from now on that a reader waits for.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.appended.subscribe()
    }

    /// Enters an owner whose cursor is `cursor`. Returns its key. The client of the command replaces
    /// an earlier one, whose connection may have broken without notice.
    pub fn connect(&self, cursor: u64, kind: OwnerKind) -> u64 {
        let mut state = self.state();
        if kind == OwnerKind::Client {
            state.owners.retain(|owner| owner.kind != kind);
        }
        state.last_owner += 1;
        let key = state.last_owner;
        let taken = state.chunks - state.chunks_behind(cursor);
        state.is_full = false;
        state.owners.push(Owner { key, kind, taken });
        drop(state);
        self.owners.send_replace(());
        key
    }

    /// The owner `key` has taken the events up to `cursor`.
    pub fn taken(&self, key: u64, cursor: u64) {
        let mut state = self.state();
        let taken = state.chunks - state.chunks_behind(cursor);
        let owner = state.owners.iter_mut().find(|owner| owner.key == key);
        if let Some(owner) = owner {
            owner.taken = taken;
        }
        drop(state);
        self.owners.send_replace(());
    }

    /// Removes the owner `key`.
    pub fn disconnect(&self, key: u64) {
        self.state().owners.retain(|owner| owner.key != key);
        self.owners.send_replace(());
    }

    /// Resolves when there has been no owner for `linger`.
    pub async fn abandoned(&self, linger: Duration) {
        let mut changed = self.owners.subscribe();
        loop {
            // Cannot fail: the sender lives as long as the log.
            let _ = changed.wait_for(|()| self.state().owners.is_empty()).await;
            let returned = changed.wait_for(|()| !self.state().owners.is_empty());
            if linger.is_zero() || timeout(linger, returned).await.is_err() {
                return;
            }
        }
    }

    /// Ends the time for which the log keeps everything for an owner that may return.
    pub fn forget_owner(&self) {
        self.state().lingers = false;
        self.owners.send_replace(());
    }

    /// Makes the end of the process known before that of its log, which waits for an owner that does
    /// not read.
    pub fn set_end(&self, result: Result<Exit, ErrorBody>) {
        let at = SystemTime::now();
        self.known_end.get_or_init(|| End { result, at });
        self.appended.send_replace(());
    }

    /// The end of the process, if it has ended.
    pub fn end(&self) -> Option<End> {
        self.known_end.get().cloned()
    }

    /// Whether `cursor` is the id of an event, or 0. Error: 400.
    pub fn check_cursor(&self, cursor: u64) -> Result<(), Invalid> {
        let last = self.last_id();
        if cursor <= last {
            return Ok(());
        }
        Err(Invalid::request(format!(
            "since and Last-Event-ID must be the id of an event: the last one is {last}"
        )))
    }

    /// Resolves at the end of the process.
    pub async fn ended(&self) -> End {
        let mut changed = self.appended.subscribe();
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            let _ = changed.changed().await;
        }
    }

    /// The id of the last event so far.
    pub fn last_id(&self) -> u64 {
        self.state().last_id
    }

    /// The output so far.
    pub fn written(&self) -> Written {
        let state = self.state();
        let [stdout, stderr] = state.written;
        Written {
            stdout,
            stderr,
            is_truncated: state.is_truncated,
        }
    }

    /// Drops the output of a process that has ended, unless it is small. Returns the bytes that this
    /// gave back to the budget.
    pub fn drop_output(&self) -> u64 {
        let mut state = self.state();
        let before = state.permit.bytes();
        if !state.is_complete || before == 0 {
            return 0;
        }
        let State { head, tail, .. } = &mut *state;
        let last = tail.chunks.pop_back().or_else(|| head.chunks.pop_back());
        let is_emptied = !(head.chunks.is_empty() && tail.chunks.is_empty());
        (*head, *tail) = (Part::default(), Part::default());
        last.into_iter().for_each(|chunk| tail.push(chunk));
        state.is_truncated |= is_emptied;
        let memory = state.tail.memory;
        state.permit.shrink(memory);
        before - state.permit.bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
