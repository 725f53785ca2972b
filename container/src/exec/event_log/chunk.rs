//! A chunk of a log: events that follow each other.
//!
//! Output that nobody waits for is kept as it was read, and encoded when a reader comes to it: what
//! no reader gets, because the process is faster, costs no encoding. Until then it grows by what is
//! read next from the same output, so that events are large and few. A chunk has its raw bytes or its
//! wire format, never both, and always counts as its wire format.

use bytes::Bytes;
use sandbox_protocol::Event;
use sandbox_protocol::event::{self, MAX_OUTPUT, OutputStream};

use crate::process::utf8;

/// The memory of a chunk besides its events, in bytes.
const OVERHEAD: u64 = 128;

/// The most bytes of output of a chunk that grows.
const MAX_GROWN: u64 = 4 * MAX_OUTPUT as u64;

/// An upper bound of the size of an event besides the base64 of whole groups, in bytes.
const MAX_FIELDS: usize = 64;

/// Events that follow each other. Clones share the bytes.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// The id of the first event.
    pub(super) first: u64,
    /// The id of the last event.
    pub(super) last: u64,
    /// The output that they are of; `None` for the event of another kind, such as the last one.
    pub(super) stream: Option<OutputStream>,
    /// The bytes of output.
    pub(super) bytes: u64,
    /// The size of the wire format, in bytes.
    wire_size: usize,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// Output that no reader has got yet. It may grow.
    Growing(OutputStream, Vec<u8>),
    /// Output that a reader is about to encode.
    Raw(OutputStream, Bytes),
    /// The events.
    Wire(Bytes),
}

impl Chunk {
    /// The events of `output`, the first of which has the id `first`. They are encoded at once if an
    /// owner waits for them; otherwise `output` is taken, unless much of its memory is unused.
    pub(super) fn output(stream: OutputStream, first: u64, output: &mut Vec<u8>, is_awaited: bool) -> Self {
        let (last, wire_size) = measure(stream, first, output);
        let bytes = output.len();
        let content = if is_awaited {
            Content::Wire(encoded(stream, first, output, wire_size))
        } else if output.capacity() <= wire_size {
            Content::Growing(stream, std::mem::take(output))
        } else {
            Content::Growing(stream, output.to_vec())
        };
        Self {
            first,
            last,
            stream: Some(stream),
            bytes: bytes as u64,
            wire_size,
            content,
        }
    }

    /// One event that is no output.
    pub(super) fn event(id: u64, event: &Event) -> Self {
        let mut wire = Vec::new();
        event.write_to(Some(id), &mut wire);
        Self {
            first: id,
            last: id,
            stream: None,
            bytes: 0,
            wire_size: wire.len(),
            content: Content::Wire(wire.into()),
        }
    }

    /// Adds `output` of `stream` to it, up to `max_bytes`. Returns false if it may not grow by that.
    pub(super) fn grow(&mut self, stream: OutputStream, output: &[u8], max_bytes: u64) -> bool {
        let is_small = self.bytes + output.len() as u64 <= max_bytes.min(MAX_GROWN);
        match &mut self.content {
            Content::Growing(own, bytes) if *own == stream && is_small => {
                if bytes.capacity() - bytes.len() < output.len() {
                    // Less than what the wire format adds, which is counted.
                    bytes.reserve_exact(output.len().max(bytes.len() / 4));
                }
                bytes.extend_from_slice(output);
                self.bytes = bytes.len() as u64;
                (self.last, self.wire_size) = measure(stream, self.first, bytes);
                true
            }
            _ => false,
        }
    }

    /// A clone that can be encoded. The chunk grows no more.
    pub(super) fn share(&mut self) -> Self {
        self.close();
        self.clone()
    }

    /// Lets it grow no more, and gives back the memory that was reserved for that.
    pub(super) fn close(&mut self) {
        if let Content::Growing(stream, bytes) = &mut self.content {
            let bytes = std::mem::take(bytes);
            self.content = Content::Raw(*stream, bytes.into_boxed_slice().into());
        }
    }

    /// Brings it into wire format. Returns whether it was raw.
    pub(super) fn encode(&mut self) -> bool {
        let Content::Raw(stream, output) = &self.content else {
            return false;
        };
        self.content = Content::Wire(encoded(*stream, self.first, output, self.wire_size));
        true
    }

    /// The bytes of memory that it counts for.
    pub(super) fn memory(&self) -> u64 {
        self.wire_size as u64 + OVERHEAD
    }

    /// The events behind `cursor` in wire format, once it is [encoded](Self::encode).
    pub(super) fn behind(&self, cursor: u64) -> Bytes {
        let Content::Wire(wire) = &self.content else {
            return Bytes::new();
        };
        let skipped = (cursor + 1).saturating_sub(self.first);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let start: usize = event::split(wire).take(skipped).map(<[u8]>::len).sum();
        wire.slice(start..)
    }
}

/// The id of the last event of `output`, and the size of its events, in bytes.
fn measure(stream: OutputStream, first: u64, output: &[u8]) -> (u64, usize) {
    let sizes = (first..)
        .zip(utf8::pieces(output))
        .map(|(id, piece)| (id, stream.event_size(id, piece.len())));
    sizes.fold((first - 1, 0), |(_, sum), (id, size)| (id, sum + size))
}

/// An upper bound of the size of the events that `length` bytes of output add to a chunk, in bytes.
pub(super) fn event_bytes(length: usize) -> u64 {
    let events = length / (MAX_OUTPUT - 3) + 2;
    (length.div_ceil(3) * 4 + events * MAX_FIELDS) as u64
}

fn encoded(stream: OutputStream, first: u64, output: &[u8], wire_size: usize) -> Bytes {
    let mut wire = Vec::with_capacity(wire_size);
    for (id, piece) in (first..).zip(utf8::pieces(output)) {
        stream.write_event(Some(id), piece, &mut wire);
    }
    wire.into()
}
