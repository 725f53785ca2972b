//! Decodes the text of a large `stream` message piece by piece, without holding the message.

use memchr::memchr2;
use sandbox_protocol::event::OutputStream;

/// The most bytes of a content before its text.
pub const PREFIX: usize = 64;

/// A decoder of the string in a content like `{"name": "stdout", "text": "…"}`.
#[derive(Debug)]
pub struct TextDecoder {
    /// The output that it is of.
    pub stream: OutputStream,
    /// An escape that is not complete yet.
    escape: Vec<u8>,
    /// The first half of a pair of `\u` escapes.
    high: Option<u32>,
    is_done: bool,
}

impl TextDecoder {
    /// A decoder for a content that begins with `prefix`, and the length of the part before the text;
    /// `None` if the content has another form.
    pub fn new(prefix: &[u8]) -> Option<(Self, usize)> {
        let mut rest = prefix;
        let mut word = |text: &str| {
            rest = rest.trim_ascii_start().strip_prefix(text.as_bytes())?;
            Some(())
        };
        word("{")?;
        word("\"name\"")?;
        word(":")?;
        let stream = match word("\"stdout\"") {
            Some(()) => OutputStream::Stdout,
            None => {
                word("\"stderr\"")?;
                OutputStream::Stderr
            }
        };
        word(",")?;
        word("\"text\"")?;
        word(":")?;
        word("\"")?;
        let decoder = Self {
            stream,
            escape: Vec::new(),
            high: None,
            is_done: false,
        };
        Some((decoder, prefix.len() - rest.len()))
    }

    /// Appends the text of the next piece to `text`. What is behind the end of the string is ignored.
    pub fn decode(&mut self, mut piece: &[u8], text: &mut Vec<u8>) {
        while !self.is_done && !piece.is_empty() {
            if !self.escape.is_empty() {
                let (byte, rest) = piece.split_at(1);
                self.escape.extend_from_slice(byte);
                piece = rest;
                self.finish_escape(text);
                continue;
            }
            let end = memchr2(b'"', b'\\', piece).unwrap_or(piece.len());
            let (plain, rest) = piece.split_at(end);
            if !plain.is_empty() {
                self.flush_high(text);
            }
            text.extend_from_slice(plain);
            match rest.first() {
                Some(b'\\') => self.escape.push(b'\\'),
                Some(_) => {
                    self.flush_high(text);
                    self.is_done = true;
                }
                None => {}
            }
            piece = rest.get(1..).unwrap_or_default();
        }
    }

    /// Decodes the escape, if it is complete.
    fn finish_escape(&mut self, text: &mut Vec<u8>) {
        let plain = match self.escape.as_slice() {
            [_, b'u', digits @ ..] if digits.len() < 4 => return,
            [_, b'u', digits @ ..] => {
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                let unit = u32::from_str_radix(digits, 16).unwrap_or(0xfffd);
                self.escape.clear();
                return self.push_unit(unit, text);
            }
            [_, b'n'] => b'\n',
            [_, b't'] => b'\t',
            [_, b'r'] => b'\r',
            [_, b'b'] => 8,
            [_, b'f'] => 12,
            [_, other] => *other,
            _ => return,
        };
        self.escape.clear();
        self.flush_high(text);
        text.push(plain);
    }

    /// Appends a UTF-16 unit, or keeps it until its other half comes.
    fn push_unit(&mut self, unit: u32, text: &mut Vec<u8>) {
        let code = match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00),
            (high, 0xd800..=0xdbff) => {
                self.high = high;
                self.flush_high(text);
                self.high = Some(unit);
                return;
            }
            (high, unit) => {
                self.high = high;
                self.flush_high(text);
                unit
            }
        };
        let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// A half without the other is no character.
    fn flush_high(&mut self, text: &mut Vec<u8>) {
        if self.high.take().is_some() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(content: &str, size: usize) -> Option<(OutputStream, String)> {
        let (mut decoder, start) = TextDecoder::new(content.as_bytes())?;
        let mut text = Vec::new();
        for piece in content.as_bytes()[start..].chunks(size) {
            decoder.decode(piece, &mut text);
        }
        Some((decoder.stream, String::from_utf8(text).unwrap()))
    }

    #[test]
    fn text_is_the_same_in_pieces_of_any_size() {
        let texts = [
            "",
            "a\n\"b\\\u{8}\u{c}\r\t/é😀\u{7f}",
            "\\u0041\\",
            "\u{1}\u{fffd}",
        ];
        for text in texts {
            for content in [
                serde_json::json!({ "name": "stderr", "text": text }).to_string(),
                format!(
                    "{{ \"name\": \"stderr\" , \"text\": {} }}",
                    serde_json::json!(text)
                ),
            ] {
                for size in 1..8 {
                    let (stream, decoded) = decoded(&content, size).unwrap();
                    assert_eq!(
                        (stream, decoded.as_str()),
                        (OutputStream::Stderr, text),
                        "{content}"
                    );
                }
            }
        }
    }

    #[test]
    fn escapes_of_characters() {
        let content =
            r#"{"name":"stdout","text":"\u00e9\ud83d\ude00\ud83dx\ude00\ud83d\ud83d\ude00\/","x":"y"}"#;
        for size in 1..8 {
            let (_, text) = decoded(content, size).unwrap();
            assert_eq!(text, "é😀\u{fffd}x\u{fffd}\u{fffd}😀/");
        }
    }

    #[test]
    fn other_contents_are_left_to_a_parser() {
        for content in [
            "",
            "{",
            r#"{"text":"a","name":"stdout"}"#,
            r#"{"name":"other","text":"a"}"#,
        ] {
            assert!(TextDecoder::new(content.as_bytes()).is_none(), "{content}");
        }
    }
}
