//! Characters of UTF-8 at a place where an output was cut.

use std::str;

/// The number of bytes at the end of `bytes`, 3 at most, that begin an incomplete UTF-8 character.
pub fn incomplete_tail(bytes: &[u8]) -> usize {
    let begins_character = |length: &usize| {
        let tail = bytes
            .len()
            .checked_sub(*length)
            .and_then(|start| bytes.get(start..));
        tail.and_then(|tail| str::from_utf8(tail).err())
            .is_some_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (1..=3).find(begins_character).unwrap_or(0)
}

/// Whether a byte is of a character of UTF-8, and not its first one.
pub fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_character_is_incomplete() {
        let crab = "🦀".as_bytes();
        for (bytes, length) in [
            (&b""[..], 0),
            (b"abc", 0),
            ("aé".as_bytes(), 0),
            (&crab[..1], 1),
            (&crab[..2], 2),
            (&crab[..3], 3),
            (crab, 0),
            (b"a\xc3", 1),
            (b"\xe2\x82", 2),
            // Never valid, with any continuation.
            (b"\xff", 0),
            (b"\xc0", 0),
            (b"\xe0\x80", 0),
            (b"\x80\x80\x80", 0),
        ] {
            assert_eq!(incomplete_tail(bytes), length, "{bytes:?}");
        }
    }
}
