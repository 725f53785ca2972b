//! A part of a log: chunks that follow each other.

use std::collections::VecDeque;

use sandbox_protocol::event::OutputStream;

use super::chunk::Chunk;

/// The memory of a part, as a multiple of the output that it keeps: small events take much more
/// than they carry.
pub(super) const MEMORY_FACTOR: u64 = 4;

/// The least that a part keeps, in bytes, when memory is counted.
const MIN_LIMIT: u64 = 16 * 1024;

/// A part of a log: chunks that follow each other.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) chunks: VecDeque<Chunk>,
    /// The bytes of output.
    pub(super) bytes: u64,
    /// The bytes of memory.
    pub(super) memory: u64,
}

impl Part {
    pub(super) fn push(&mut self, chunk: Chunk) {
        // Gives back the memory that was reserved for more.
        self.chunks.back_mut().into_iter().for_each(Chunk::close);
        self.bytes += chunk.bytes;
        self.memory += chunk.memory();
        self.chunks.push_back(chunk);
    }

    /// Adds `output` to the last chunk, up to `max_bytes`. Returns the id of its last event; `None` if
    /// it may not grow.
    pub(super) fn grow_last(&mut self, stream: OutputStream, output: &[u8], max_bytes: u64) -> Option<u64> {
        let last = self.chunks.back_mut()?;
        let (bytes, memory) = (last.bytes, last.memory());
        let has_grown = last.grow(stream, output, max_bytes);
        self.bytes += last.bytes - bytes;
        self.memory += last.memory() - memory;
        has_grown.then_some(last.last)
    }

    /// Drops the oldest chunk, but never the only one. Returns whether there was another.
    pub(super) fn drop_oldest(&mut self) -> bool {
        if self.chunks.len() < 2 {
            return false;
        }
        if let Some(chunk) = self.chunks.pop_front() {
            self.bytes -= chunk.bytes;
            self.memory -= chunk.memory();
        }
        true
    }

    /// Whether it keeps `limit` bytes of output.
    pub(super) fn keeps(&self, limit: u64) -> bool {
        is_reached(limit, self.bytes, self.memory)
    }

    /// Whether it keeps them also without its oldest chunk.
    pub(super) fn exceeds(&self, limit: u64) -> bool {
        self.chunks
            .front()
            .is_some_and(|oldest| is_reached(limit, self.bytes - oldest.bytes, self.memory - oldest.memory()))
    }

    /// The number of chunks without events behind `cursor`.
    pub(super) fn before(&self, cursor: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.last <= cursor)
    }
}

/// Whether a part with these `bytes` of output reaches `limit`, or takes the memory that a part of
/// that size may take.
pub(super) fn is_reached(limit: u64, bytes: u64, memory: u64) -> bool {
    bytes >= limit || memory >= MEMORY_FACTOR * limit.max(MIN_LIMIT)
}
