//! Output of which the middle is left out when it is long.

use std::collections::VecDeque;

/// The place of the first byte that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// The number of the event before; 0 where there are no events.
    pub since: u64,
    /// The bytes behind that event.
    pub skip: u64,
}

/// Output in bounded memory: the first and the last part of it.
#[derive(Debug, Clone)]
pub struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    limit: usize,
    dropped: u64,
    rest: Option<Rest>,
}

impl Output {
    /// Keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            limit,
            dropped: 0,
            rest: None,
        }
    }

    /// Appends bytes that begin at this place.
    pub fn push(&mut self, at: Rest, bytes: &[u8]) {
        let room = self.limit.div_ceil(2).saturating_sub(self.head.len());
        let (first, others) = bytes.split_at(room.min(bytes.len()));
        if self.tail.is_empty() && self.dropped == 0 {
            self.head.extend_from_slice(first);
        } else {
            // The head is full, or ended at a character that did not fit.
            self.tail.extend(first);
        }
        if others.is_empty() {
            return;
        }
        self.rest.get_or_insert(Rest {
            since: at.since,
            skip: at.skip + first.len() as u64,
        });
        self.tail.extend(others);
        let most = self.limit / 2;
        let over = self.tail.len().saturating_sub(most);
        self.tail.drain(..over);
        self.dropped += over as u64;
    }

    /// Counts bytes behind the head that are left out without being read; the first of them is at this
    /// place.
    pub fn leave_out(&mut self, at: Rest, bytes: u64) {
        self.rest.get_or_insert(at);
        self.dropped += bytes;
    }

    /// The output: all of it, or head and tail, with the text of `notice` between. `notice` gets the
    /// number of bytes that are left out and the place of the first of them. Bytes that are not UTF-8
    /// become U+FFFD; no character is divided.
    pub fn finish(mut self, notice: impl FnOnce(u64, Rest) -> String) -> String {
        let tail = self.tail.make_contiguous();
        let (Some(mut rest), true) = (self.rest, self.dropped > 0) else {
            self.head.extend_from_slice(tail);
            return String::from_utf8_lossy(&self.head).into_owned();
        };
        let begun = incomplete(&self.head);
        self.head.truncate(self.head.len() - begun);
        rest.skip = rest.skip.saturating_sub(begun as u64);
        let continued = tail
            .iter()
            .take(3)
            .take_while(|byte| is_continuation(**byte))
            .count();
        let left_out = self.dropped + (begun + continued) as u64;
        let head = String::from_utf8_lossy(&self.head);
        let tail = String::from_utf8_lossy(tail.get(continued..).unwrap_or_default());
        let before = if head.ends_with('\n') { "" } else { "\n" };
        format!("{head}{before}{}\n{tail}", notice(left_out, rest))
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The bytes of a character that is begun at the end of `bytes` and not complete.
fn incomplete(bytes: &[u8]) -> usize {
    let continued = bytes
        .iter()
        .rev()
        .take(3)
        .take_while(|byte| is_continuation(**byte))
        .count();
    let first = bytes.iter().rev().nth(continued).copied().unwrap_or_default();
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if continued + 1 < length { continued + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Rest = Rest { since: 0, skip: 0 };

    fn notice(left_out: u64, rest: Rest) -> String {
        format!("[{left_out} {}+{}]", rest.since, rest.skip)
    }

    fn cut(limit: usize, pieces: &[&str]) -> String {
        let mut output = Output::new(limit);
        for (since, piece) in pieces.iter().enumerate() {
            output.push(
                Rest {
                    since: since as u64,
                    skip: 0,
                },
                piece.as_bytes(),
            );
        }
        output.finish(notice)
    }

    #[test]
    fn short_output_is_whole() {
        assert_eq!(cut(4, &[]), "");
        assert_eq!(cut(4, &["ab", "c", "d"]), "abcd");
        assert_eq!(cut(4, &["abcd"]), "abcd");
        assert_eq!(cut(5, &["abcde"]), "abcde");
    }

    #[test]
    fn long_output_loses_its_middle_and_says_where_that_begins() {
        assert_eq!(cut(4, &["abcde"]), "ab\n[1 0+2]\nde");
        assert_eq!(cut(4, &["ab", "cdefg"]), "ab\n[3 1+0]\nfg");
        assert_eq!(cut(4, &["a", "\n", "b", "c", "d"]), "a\n[1 2+0]\ncd");
        assert_eq!(cut(2, &["a", "b", "c", "d"]), "a\n[2 1+0]\nd");
        assert_eq!(cut(1, &["ab"]), "a\n[1 0+1]\n");
    }

    #[test]
    fn the_rest_can_be_read_on_from_its_place() {
        let text: String = ('a'..='z').collect();
        let mut read = String::new();
        let mut skip = 0;
        while skip < text.len() {
            let mut output = Output::new(8);
            output.push(
                Rest {
                    since: 0,
                    skip: skip as u64,
                },
                &text.as_bytes()[skip..],
            );
            let mut rest = None;
            let shown = output.finish(|_, at| {
                rest = Some(at.skip as usize);
                "|".to_owned()
            });
            let head = shown.split("\n|\n").next().unwrap();
            read.push_str(head);
            skip = rest.unwrap_or(text.len());
        }
        assert_eq!(read, text);
    }

    #[test]
    fn no_character_is_divided() {
        assert_eq!(cut(4, &["aüüüb"]), "a\n[6 0+1]\nb");
        assert_eq!(cut(6, &["aüüüüb"]), "aü\n[4 0+3]\nüb");
        let mut output = Output::new(8);
        output.push(START, "abü".as_bytes().split_at(3).0);
        output.leave_out(Rest { since: 0, skip: 3 }, 7);
        output.push(START, b"\xbcend");
        assert_eq!(output.finish(notice), "ab\n[9 0+2]\nend");
        let mut output = Output::new(8);
        output.push(START, b"\xff\xfe");
        assert_eq!(output.finish(notice), "\u{fffd}\u{fffd}");
    }
}
