//! The end mark of a body of unknown length, see [`sandbox_protocol::sandboxd::END_MARK_HEADER`].

use bytes::Bytes;

/// Takes the end mark off the end of a stream, whose blocks may be cut anywhere. Bytes are passed on
/// as soon as they cannot be the mark: a server may answer each piece of a body before the next one
/// is sent.
#[derive(Debug)]
pub struct EndMark {
    mark: Bytes,
    /// The number of bytes of the mark that the stream ends with so far. They are held back.
    held: usize,
}

impl EndMark {
    /// A body that ends with `mark`, which may be empty.
    pub fn new(mark: Bytes) -> Self {
        Self { mark, held: 0 }
    }

    /// The bytes of the mark.
    pub fn len(&self) -> usize {
        self.mark.len()
    }

    /// Whether there is no mark.
    pub fn is_empty(&self) -> bool {
        self.mark.is_empty()
    }

    /// Takes the next block of the stream. Returns the bytes of it and before it that cannot be the
    /// mark, in order. Either part may be empty.
    pub fn pass(&mut self, block: Bytes) -> [Bytes; 2] {
        let held = self.mark.slice(..self.held);
        // The mark cannot begin before this.
        let start = block.len().saturating_sub(self.mark.len());
        let mut tail = if start == 0 { held.to_vec() } else { Vec::new() };
        tail.extend_from_slice(block.get(start..).unwrap_or_default());
        let longest = tail.len().min(self.mark.len());
        let is_beginning = |length: &usize| {
            tail.get(tail.len() - length..)
                .is_some_and(|end| self.mark.starts_with(end))
        };
        self.held = (0..=longest).rev().find(is_beginning).unwrap_or_default();
        if self.held <= block.len() {
            return [held, block.slice(..block.len() - self.held)];
        }
        // The mark begins in the bytes that were held back.
        [held.slice(..tail.len() - self.held), Bytes::new()]
    }

    /// Whether a stream that has ended did so with the mark.
    pub fn is_whole(&self) -> bool {
        self.held == self.mark.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that come out of a stream that is cut into blocks, and whether it was whole.
    fn passed(stream: &[u8], block: usize) -> (Vec<u8>, bool) {
        passed_until(b"MARK", stream, block)
    }

    fn passed_until(mark: &'static [u8], stream: &[u8], block: usize) -> (Vec<u8>, bool) {
        let mut mark = EndMark::new(Bytes::from_static(mark));
        let mut passed = Vec::new();
        for block in stream.chunks(block) {
            passed.extend(mark.pass(Bytes::copy_from_slice(block)).concat());
        }
        (passed, mark.is_whole())
    }

    #[test]
    fn it_is_found_however_the_stream_is_cut() {
        for block in 1..20 {
            assert_eq!(
                passed(b"MAMARK, bodyMARK", block),
                (b"MAMARK, body".to_vec(), true)
            );
            assert_eq!(passed(b"MARK", block), (Vec::new(), true));
            assert!(!passed(b"MARK, body", block).1);
            assert!(!passed(b"bodyMAR", block).1);
            assert!(!passed(b"MAR", block).1);
        }
        assert!(!passed(b"", 1).1);
    }

    #[test]
    fn a_mark_that_repeats_itself_is_found_too() {
        let mark = b"ababc";
        for block in 1..12 {
            for body in [
                &b""[..],
                b"x",
                b"abab",
                b"ab",
                b"abaab",
                b"xababx",
                b"a long body aba",
            ] {
                let stream = [body, mark].concat();
                assert_eq!(passed_until(mark, &stream, block), (body.to_vec(), true));
                assert!(!passed_until(mark, body, block).1);
            }
        }
    }

    #[test]
    fn bytes_that_cannot_be_the_mark_are_not_held_back() {
        for stream in [&b"{}\n"[..], b"MA\n", b"MARR", b"MAMAR0", b"a much longer line\n"] {
            for block in 1..20 {
                assert_eq!(passed(stream, block), (stream.to_vec(), false));
            }
        }
    }

    #[test]
    fn an_empty_mark_holds_nothing_back() {
        let mut mark = EndMark::new(Bytes::new());
        assert_eq!(mark.pass(Bytes::from_static(b"all")).concat(), b"all");
        assert!(mark.is_whole() && mark.is_empty());
    }
}
