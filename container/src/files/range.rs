//! The `Range` header (RFC 9110, section 14).

use std::ops::Range;

/// The part of a file that a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole file: the header is not a single range of bytes, and is ignored.
    Whole,
    /// These bytes, at least one.
    Bytes(Range<u64>),
    /// Bytes beyond the end of the file.
    Unsatisfiable,
}

impl Part {
    /// Parses the value `header` for a file of `size` bytes.
    pub(super) fn parse(header: &str, size: u64) -> Self {
        let Some((unit, range)) = header.split_once('=') else {
            return Self::Whole;
        };
        let Some((first, last)) = range.trim().split_once('-') else {
            return Self::Whole;
        };
        if !unit.eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let (start, end) = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, size.min(last.saturating_add(1))),
            (Some(first), None) if last.is_empty() => (first, size),
            (None, Some(suffix)) if first.is_empty() => (size.saturating_sub(suffix), size),
            _ => return Self::Whole,
        };
        if start < end {
            Self::Bytes(start..end)
        } else {
            Self::Unsatisfiable
        }
    }
}

/// Accepts only digits: `parse` alone would take a sign, too.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_cut_to_the_file() {
        for (header, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=9-", 9..10),
            ("bytes=5-99999", 5..10),
            ("bytes=0-18446744073709551615", 0..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            ("BYTES=0-1", 0..2),
        ] {
            assert_eq!(Part::parse(header, 10), Part::Bytes(range), "{header}");
        }
    }

    #[test]
    fn bytes_that_are_not_there_are_unsatisfiable() {
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(Part::parse(header, 10), Part::Unsatisfiable, "{header}");
        }
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(Part::parse(header, 0), Part::Unsatisfiable, "{header}");
        }
    }

    #[test]
    fn anything_else_asks_for_the_whole_file() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=+1-2",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=--1",
            "bytes=0-1,4-5",
            "lines=0-1",
            "bytes=0-99999999999999999999",
        ] {
            assert_eq!(Part::parse(header, 10), Part::Whole, "{header}");
        }
    }
}
