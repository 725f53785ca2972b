//! Durations as people write them: in a variable, or in a request. `sleepAfter`, which can also be
//! `never`, is in `sandbox/settings.rs`, and its maximum in `sandbox/patch.rs`.

use std::time::Duration;

/// Parses `250ms`, `30s`, `10m` or `2h`: a whole number greater than 0 and its unit.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().filter(|n| *n > 0)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

/// Parses the forms of [`parse`], or a whole number of milliseconds without a unit.
pub fn parse_or_ms(text: &str) -> Option<Duration> {
    match text.parse() {
        Ok(0) => None,
        Ok(ms) => Some(Duration::from_millis(ms)),
        Err(_) => parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "30",
            "s",
            "-3s",
            "1.5s",
            "3 s",
            "3d",
            "0s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn milliseconds_need_no_unit_where_they_are_the_custom() {
        for (text, ms) in [("10000", 10_000), ("10s", 10_000), ("1", 1)] {
            assert_eq!(parse_or_ms(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "0", "-1", "1.5", "10 s", "18446744073709551616"] {
            assert_eq!(parse_or_ms(bad), None, "{bad}");
        }
    }
}
