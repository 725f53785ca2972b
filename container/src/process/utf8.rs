//! Cuts output so that text can be decoded event by event.

use sandbox_protocol::event::MAX_OUTPUT;
use sandbox_protocol::utf8::incomplete_tail;

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
