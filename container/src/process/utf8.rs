//! Cuts output so that text can be decoded event by event.

use std::str;

use sandbox_protocol::event::MAX_OUTPUT;

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

/// `bytes` in pieces for one event each. None begins inside a character of text.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let size = match rest.get(..MAX_OUTPUT) {
            Some(full) if rest.len() > MAX_OUTPUT => MAX_OUTPUT - incomplete_tail(full),
            _ => rest.len(),
        };
        let (piece, others) = rest.split_at_checked(size)?;
        rest = others;
        (!piece.is_empty()).then_some(piece)
    })
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

    #[test]
    fn pieces_are_whole_text() {
        for shift in 0..4 {
            let text = "x".repeat(shift) + &"🦀".repeat(MAX_OUTPUT / 2);
            let pieces: Vec<_> = pieces(text.as_bytes()).collect();
            assert!(
                pieces
                    .iter()
                    .all(|piece| piece.len() <= MAX_OUTPUT && str::from_utf8(piece).is_ok())
            );
            assert_eq!(pieces.concat(), text.as_bytes());
        }
        assert_eq!(pieces(b"").count(), 0);
        assert_eq!(pieces(&[0xff; MAX_OUTPUT]).count(), 1);
    }
}
