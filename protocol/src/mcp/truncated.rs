//! The output of a tool, of which the middle is left out when it is long.

use crate::Tail;
use crate::utf8::incomplete_tail;

/// The place of the first byte that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The number of the event before; 0 where there are no events.
    pub event_id: u64,
    /// The bytes behind that event.
    pub byte_offset: u64,
}

/// Output in bounded memory: the first and the last part of it.
#[derive(Debug)]
pub struct Truncated {
    head: Vec<u8>,
    tail: Tail,
    limit: usize,
    /// The bytes behind the head.
    bytes_after_head: u64,
    rest: Option<LogPosition>,
}

impl Truncated {
    /// Keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: Tail::new(limit / 2),
            limit,
            bytes_after_head: 0,
            rest: None,
        }
    }

    /// Appends bytes that begin at this place.
    pub fn push(&mut self, at: LogPosition, bytes: &[u8]) {
        let free = match self.bytes_after_head {
            0 => self.limit.div_ceil(2).saturating_sub(self.head.len()),
            _ => 0,
        };
        let (first, others) = bytes.split_at(free.min(bytes.len()));
        self.head.extend_from_slice(first);
        if others.is_empty() {
            return;
        }
        self.rest.get_or_insert(LogPosition {
            event_id: at.event_id,
            byte_offset: at.byte_offset + first.len() as u64,
        });
        self.bytes_after_head += others.len() as u64;
        self.tail.push(others);
    }

    /// Counts bytes behind the head that are left out without being read; the first of them is at this
    /// place.
    pub fn leave_out(&mut self, at: LogPosition, bytes: u64) {
        self.rest.get_or_insert(at);
        self.bytes_after_head += bytes;
        self.tail.leave_out();
    }

    /// The output: all of it, or head and tail, with the text of `notice` between. `notice` gets the
    /// number of bytes that are left out and the place of the first of them. Bytes that are not UTF-8
    /// become U+FFFD; no character is divided.
    pub fn finish(mut self, notice: impl FnOnce(u64, LogPosition) -> String) -> String {
        let tail = self.tail.bytes();
        let left_out = self.bytes_after_head - tail.len() as u64;
        let (Some(mut rest), true) = (self.rest, left_out > 0) else {
            self.head.extend_from_slice(&tail);
            return String::from_utf8_lossy(&self.head).into_owned();
        };
        let begun = incomplete_tail(&self.head);
        self.head.truncate(self.head.len() - begun);
        rest.byte_offset = rest.byte_offset.saturating_sub(begun as u64);
        let head = String::from_utf8_lossy(&self.head);
        let before = if head.ends_with('\n') { "" } else { "\n" };
        let notice = notice(left_out + begun as u64, rest);
        format!("{head}{before}{notice}\n{}", String::from_utf8_lossy(&tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: LogPosition = LogPosition {
        event_id: 0,
        byte_offset: 0,
    };

    fn notice(left_out: u64, rest: LogPosition) -> String {
        format!("[{left_out} {}+{}]", rest.event_id, rest.byte_offset)
    }

    fn cut(limit: usize, pieces: &[&str]) -> String {
        let mut output = Truncated::new(limit);
        for (since, piece) in pieces.iter().enumerate() {
            output.push(
                LogPosition {
                    event_id: since as u64,
                    byte_offset: 0,
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
    fn reading_goes_on_where_the_rest_begins() {
        let text: String = ('a'..='z').collect();
        let mut read = String::new();
        let mut skip = 0;
        while skip < text.len() {
            let mut output = Truncated::new(8);
            output.push(
                LogPosition {
                    event_id: 0,
                    byte_offset: skip as u64,
                },
                &text.as_bytes()[skip..],
            );
            let mut rest = None;
            let text_of_part = output.finish(|_, at| {
                rest = Some(at.byte_offset as usize);
                "|".to_owned()
            });
            let head = text_of_part.split("\n|\n").next().unwrap();
            read.push_str(head);
            skip = rest.unwrap_or(text.len());
        }
        assert_eq!(read, text);
    }

    #[test]
    fn no_character_is_divided() {
        assert_eq!(cut(4, &["aüüüb"]), "a\n[6 0+1]\nb");
        assert_eq!(cut(6, &["aüüüüb"]), "aü\n[4 0+3]\nüb");
        let mut output = Truncated::new(8);
        output.push(START, "abü".as_bytes().split_at(3).0);
        output.leave_out(
            LogPosition {
                event_id: 0,
                byte_offset: 3,
            },
            7,
        );
        output.push(START, b"\xbcend");
        assert_eq!(output.finish(notice), "ab\n[9 0+2]\nend");
        let mut output = Truncated::new(8);
        output.push(START, b"\xff\xfe");
        assert_eq!(output.finish(notice), "\u{fffd}\u{fffd}");
    }
}
