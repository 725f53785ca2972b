//! The end of an output of any length, in bounded memory.

use std::collections::VecDeque;

use crate::utf8::is_continuation;

/// The last bytes of an output.
#[derive(Debug)]
pub struct Tail {
    bytes: VecDeque<u8>,
    /// The most bytes that are kept.
    limit: usize,
    /// Whether earlier bytes were dropped.
    is_cut: bool,
}

impl Tail {
    /// An empty one that keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            limit,
            is_cut: false,
        }
    }

    /// Appends `bytes`, and drops as much from the beginning as exceeds the limit.
    pub fn push(&mut self, bytes: &[u8]) {
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(self.limit);
        self.is_cut |= excess > 0;
        let dropped = excess.min(self.bytes.len());
        self.bytes.drain(..dropped);
        self.bytes
            .extend(bytes.get(excess - dropped..).unwrap_or_default());
    }

    /// Drops what was kept, in front of bytes that are left out without being read.
    pub fn leave_out(&mut self) {
        self.bytes.clear();
        self.is_cut = true;
    }

    /// The bytes that are kept. If the output is text, they begin with a whole character.
    pub fn bytes(&self) -> Vec<u8> {
        // A character of UTF-8 has 3 such bytes at most.
        let is_middle = |byte: &&u8| self.is_cut && is_continuation(**byte);
        let middle = self.bytes.iter().take(3).take_while(is_middle).count();
        let (front, back) = self.bytes.as_slices();
        let mut all = [front, back].concat();
        all.drain(..middle);
        all
    }

    /// [`Self::bytes`] as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64 * 1024;

    #[test]
    fn everything_is_buffered_up_to_the_limit() {
        let mut tail = Tail::new(LIMIT);
        assert!(tail.bytes().is_empty());
        tail.push(b"\x80a");
        tail.push(b"b");
        assert_eq!(tail.bytes(), b"\x80ab"[..]);
    }

    #[test]
    fn the_beginning_is_dropped() {
        for piece in [1, 1000, LIMIT, LIMIT + 1, 3 * LIMIT] {
            let output: Vec<u8> = (0..LIMIT * 3).map(|i| b'a' + (i % 23) as u8).collect();
            let mut tail = Tail::new(LIMIT);
            output.chunks(piece).for_each(|piece| tail.push(piece));
            assert_eq!(tail.bytes(), output[output.len() - LIMIT..], "{piece}");
            assert!(tail.bytes.len() <= LIMIT);
        }
    }

    #[test]
    fn a_cut_character_is_left_out() {
        let mut tail = Tail::new(LIMIT);
        tail.push("é".as_bytes());
        tail.push(&vec![b'x'; LIMIT - 1]);
        assert_eq!(tail.bytes().len(), LIMIT - 1);
        assert!(tail.bytes().iter().all(|byte| *byte == b'x'));
    }
}
