//! The end mark of a body of unknown length, see [`sandbox_protocol::sandboxd::END_MARK_HEADER`].

use bytes::Bytes;

/// Takes the end mark off the end of a stream, whose blocks may be cut anywhere.
#[derive(Debug)]
pub struct EndMark {
    mark: Bytes,
    /// The last bytes so far, at most as many as the mark has: they may be the mark.
    held: Vec<u8>,
}

impl EndMark {
    /// A body that ends with `mark`, which may be empty.
    pub fn new(mark: Bytes) -> Self {
        Self {
            held: Vec::with_capacity(mark.len() * 2),
            mark,
        }
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
    pub fn pass(&mut self, mut block: Bytes) -> [Bytes; 2] {
        if block.len() >= self.mark.len() {
            let tail = block.split_off(block.len() - self.mark.len());
            let before = Bytes::from(std::mem::replace(&mut self.held, tail.into()));
            return [before, block];
        }
        self.held.extend_from_slice(&block);
        let excess = self.held.len().saturating_sub(self.mark.len());
        [self.held.drain(..excess).collect(), Bytes::new()]
    }

    /// Whether a stream that has ended did so with the mark.
    pub fn is_whole(&self) -> bool {
        self.held == self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(stream: &[u8], block: usize) -> (Vec<u8>, bool) {
        let mut mark = EndMark::new(Bytes::from_static(b"MARK"));
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
    fn an_empty_mark_holds_nothing_back() {
        let mut mark = EndMark::new(Bytes::new());
        assert_eq!(mark.pass(Bytes::from_static(b"all")).concat(), b"all");
        assert!(mark.is_whole() && mark.is_empty());
    }
}
