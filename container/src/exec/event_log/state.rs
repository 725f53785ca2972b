//! The state of a log: the chunks that it keeps, and the owners that it keeps them for.

use sandbox_protocol::Event;
use sandbox_protocol::event::{Gap, OutputStream};

use super::super::budget::{LogBudget, LogPermit};
use super::chunk::{Chunk, event_bytes};
use super::part::Part;

/// The number of chunks that an owner has not taken yet. While it is reached, no output is read.
const CHUNKS_AHEAD: u64 = 2;

/// The bytes of output that the log of a command with a linger time keeps at least, because they
/// may be on their way to a client whose connection breaks: in the buffers of the kernels, and of
/// the runtime between them.
const LINGER_BYTES: u64 = 32 * 1024 * 1024;

/// The bytes of output for which a command with a linger time continues without an owner, beyond
/// what its log then keeps.
const AHEAD_BYTES: u64 = 8 * 1024 * 1024;

/// A chunk grows to this fraction of what its part keeps, as a part drops whole chunks.
const MIN_CHUNKS: u64 = 4;

/// The next thing for a reader.
#[derive(Debug)]
pub(super) enum Found {
    /// The chunk whose first event is the first id, behind the second.
    Chunk(u64, u64),
    Gap(Gap),
    End,
    Nothing,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) budget: LogBudget,
    pub(super) permit: LogPermit,
    /// The bytes of output that `head` keeps.
    pub(super) head_limit: u64,
    /// The bytes of output that `tail` keeps.
    pub(super) tail_limit: u64,
    pub(super) head: Part,
    pub(super) tail: Part,
    pub(super) last_id: u64,
    pub(super) is_truncated: bool,
    pub(super) written: [u64; 2],
    /// The number of chunks that were appended.
    pub(super) chunks: u64,
    pub(super) owners: Vec<Owner>,
    pub(super) last_owner: u64,
    pub(super) lingers: bool,
    /// Whether there is no memory left for what an owner that returns is to get.
    pub(super) is_full: bool,
    /// The number of comments that owners are to get.
    pub(super) comments: u64,
    /// Whether the log has its last event.
    pub(super) is_complete: bool,
}

/// The kind of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKind {
    /// The client of the command.
    Client,
    /// A client that is attached.
    Attached,
}

#[derive(Debug)]
pub(super) struct Owner {
    pub(super) key: u64,
    pub(super) kind: OwnerKind,
    /// The number of chunks that it has taken or skipped.
    pub(super) taken: u64,
}

impl State {
    /// The state of an empty log, see [`EventLog::new`](super::EventLog::new).
    pub(super) fn new(limit: u64, lingers: bool, budget: LogBudget) -> Self {
        Self {
            permit: LogPermit::default(),
            budget,
            head_limit: limit,
            tail_limit: if lingers { limit.max(LINGER_BYTES) } else { limit },
            head: Part::default(),
            tail: Part::default(),
            last_id: 0,
            is_truncated: false,
            written: [0, 0],
            chunks: 0,
            owners: Vec::new(),
            last_owner: 0,
            lingers,
            is_full: false,
            comments: 0,
            is_complete: false,
        }
    }

    pub(super) fn may_append(&self) -> bool {
        if self.owners.is_empty() {
            // Nobody knows yet how much the owner has got.
            return !self.lingers || !(self.is_full || self.tail.exceeds(self.tail_limit + AHEAD_BYTES));
        }
        let is_current = |owner: &Owner| self.chunks - owner.taken < CHUNKS_AHEAD;
        self.owners.iter().all(is_current)
    }

    /// Appends an event that is no output.
    pub(super) fn push_event(&mut self, event: &Event) {
        self.push(Chunk::event(self.last_id + 1, event));
    }

    /// Adds `output` to the last chunk, if that and the memory allow it. Returns whether they do.
    pub(super) fn grow_last(&mut self, stream: OutputStream, output: &[u8]) -> bool {
        let is_beginning = self.tail.chunks.is_empty();
        if is_beginning && self.head.keeps(self.head_limit) {
            return false;
        }
        let added = event_bytes(output.len());
        let memory = self.memory() + added;
        if !self.budget.grow(&mut self.permit, memory) {
            return false;
        }
        let (part, limit) = if is_beginning {
            (&mut self.head, self.head_limit)
        } else {
            (&mut self.tail, self.tail_limit)
        };
        let Some(last_id) = part.grow_last(stream, output, limit / MIN_CHUNKS) else {
            return false;
        };
        self.last_id = last_id;
        self.drop_excess();
        true
    }

    pub(super) fn push(&mut self, chunk: Chunk) {
        self.last_id = chunk.last;
        self.chunks += 1;
        let is_beginning = self.tail.chunks.is_empty() && !self.is_truncated;
        let with_chunk = self.memory() + chunk.memory();
        // Without memory the head is complete: only the tail can drop what it has.
        if is_beginning && !self.head.keeps(self.head_limit) && self.budget.grow(&mut self.permit, with_chunk)
        {
            self.head.push(chunk);
        } else {
            self.tail.push(chunk);
        }
        self.drop_excess();
    }

    /// Drops the chunks that are over the limits.
    fn drop_excess(&mut self) {
        // While the owner may return, `may_append` is the bound.
        let is_awaited = self.lingers && self.owners.is_empty();
        while !is_awaited && self.tail.exceeds(self.tail_limit) && self.drop_oldest() {}
        loop {
            let memory = self.memory();
            if self.budget.grow(&mut self.permit, memory) {
                return;
            }
            self.is_full = is_awaited;
            if is_awaited || !self.drop_oldest() {
                return;
            }
        }
    }

    fn memory(&self) -> u64 {
        self.head.memory + self.tail.memory
    }

    /// Drops the oldest chunk of the tail, unless an owner has not taken it yet. Returns whether
    /// there was one to drop.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let before_tail = self.chunks - self.tail.chunks.len() as u64;
        let is_taken = |owner: &Owner| owner.taken > before_tail;
        let is_dropped = self.owners.iter().all(is_taken) && self.tail.drop_oldest();
        self.is_truncated |= is_dropped;
        is_dropped
    }

    /// The chunks with events behind `cursor`.
    pub(super) fn after(&self, cursor: u64) -> impl Iterator<Item = &Chunk> {
        let (head, tail) = (&self.head, &self.tail);
        let head = head.chunks.range(head.before(cursor)..);
        head.chain(tail.chunks.range(tail.before(cursor)..))
    }

    /// The chunk whose first event is `first`, unless it was dropped.
    pub(super) fn kept(&mut self, first: u64) -> Option<&mut Chunk> {
        let parts = [&mut self.head, &mut self.tail];
        parts.into_iter().find_map(|part| {
            let index = part.before(first - 1);
            part.chunks.get_mut(index).filter(|chunk| chunk.first == first)
        })
    }

    /// The number of chunks with events behind `cursor`, without those that were dropped.
    pub(super) fn chunks_behind(&self, cursor: u64) -> u64 {
        let (head, tail) = (&self.head, &self.tail);
        let head_behind = head.chunks.len() - head.before(cursor);
        (head_behind + tail.chunks.len() - tail.before(cursor)) as u64
    }

    /// The next events behind `cursor`, which moves behind them.
    pub(super) fn next(&self, cursor: &mut u64, stream: Option<OutputStream>) -> Found {
        let is_wanted = |chunk: &&Chunk| stream.is_none() || chunk.stream.is_none() || chunk.stream == stream;
        let Some(first) = self.after(*cursor).next() else {
            return if self.is_complete {
                Found::End
            } else {
                Found::Nothing
            };
        };
        if first.first > *cursor + 1 {
            let gap = Gap {
                first: *cursor + 1,
                last: first.first - 1,
            };
            *cursor = gap.last;
            return Found::Gap(gap);
        }
        // A gap further on ends the search.
        let mut expected = first.first;
        for chunk in self.after(*cursor) {
            if chunk.first != expected {
                return self.next(cursor, stream);
            }
            if is_wanted(&chunk) {
                let before = std::mem::replace(cursor, chunk.last);
                return Found::Chunk(chunk.first, before);
            }
            *cursor = chunk.last;
            expected = chunk.last + 1;
        }
        Found::Nothing
    }
}
