//! The first and the last part of an output, for a result that has no room for all of it.

use sandbox_protocol::Tail;
use sandbox_protocol::exec::RESULT_BYTES;
use sandbox_protocol::utf8;

/// The first and the last [`RESULT_BYTES`] bytes of an output.
pub struct Excerpt {
    first: Vec<u8>,
    last: Tail,
    length: usize,
}

impl Default for Excerpt {
    /// That of an empty output.
    fn default() -> Self {
        Self {
            first: Vec::new(),
            last: Tail::new(RESULT_BYTES),
            length: 0,
        }
    }
}

impl Excerpt {
    /// Appends to the output.
    pub fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        let (first, rest) = bytes.split_at(bytes.len().min(RESULT_BYTES - self.first.len()));
        self.first.extend_from_slice(first);
        self.last.push(rest);
    }

    /// Whether bytes in the middle are missing.
    pub fn is_truncated(&self) -> bool {
        self.length > 2 * RESULT_BYTES
    }

    /// The bytes. Text is cut between characters.
    pub fn into_bytes(self) -> Vec<u8> {
        let is_truncated = self.is_truncated();
        let mut bytes = self.first;
        if is_truncated {
            bytes.truncate(bytes.len() - utf8::incomplete_tail(&bytes));
        }
        bytes.extend(self.last.bytes());
        bytes
    }
}
