//! The end of a terminal's output, kept for a client that comes back.

use std::collections::VecDeque;

use bytes::Bytes;
use sandbox_protocol::pty::MAX_REPLAY;

/// The last [`MAX_REPLAY`] bytes of an output.
#[derive(Debug, Default)]
pub struct Replay {
    bytes: VecDeque<u8>,
    /// Whether anything came before these bytes.
    is_cut: bool,
}

impl Replay {
    /// Adds to the end, and forgets as much of the beginning as there is too much.
    pub fn push(&mut self, bytes: &[u8]) {
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(MAX_REPLAY);
        self.is_cut |= excess > 0;
        let forgotten = excess.min(self.bytes.len());
        self.bytes.drain(..forgotten);
        self.bytes
            .extend(bytes.get(excess - forgotten..).unwrap_or_default());
    }

    /// What is kept. It does not begin in the middle of a character, when the output is text.
    pub fn bytes(&self) -> Bytes {
        let (front, back) = self.bytes.as_slices();
        let all = [front, back].concat();
        // A character of UTF-8 has 3 such bytes at most.
        let is_middle = |byte: &&u8| self.is_cut && **byte & 0xc0 == 0x80;
        let middle = all.iter().take(3).take_while(is_middle).count();
        Bytes::from(all).slice(middle..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_kept_until_it_is_too_much() {
        let mut replay = Replay::default();
        assert!(replay.bytes().is_empty());
        replay.push(b"\x80a");
        replay.push(b"b");
        assert_eq!(replay.bytes(), b"\x80ab"[..]);
    }

    #[test]
    fn the_beginning_is_forgotten() {
        for piece in [1, 1000, 64 * 1024, MAX_REPLAY, MAX_REPLAY + 1, 3 * MAX_REPLAY] {
            let output: Vec<u8> = (0..MAX_REPLAY * 3).map(|i| b'a' + (i % 23) as u8).collect();
            let mut replay = Replay::default();
            output.chunks(piece).for_each(|piece| replay.push(piece));
            assert_eq!(replay.bytes(), output[output.len() - MAX_REPLAY..], "{piece}");
            assert!(replay.bytes.len() <= MAX_REPLAY);
        }
    }

    #[test]
    fn a_cut_character_is_left_out() {
        let mut replay = Replay::default();
        replay.push("é".as_bytes());
        replay.push(&vec![b'x'; MAX_REPLAY - 1]);
        assert_eq!(replay.bytes().len(), MAX_REPLAY - 1);
        assert!(replay.bytes().iter().all(|byte| *byte == b'x'));
    }
}
