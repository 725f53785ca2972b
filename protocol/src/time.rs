//! Times on the wire: RFC 3339, in UTC, with milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time `ms` milliseconds after 1970, as text.
pub fn from_ms(ms: u64) -> String {
    // The year 9999, the last that has this form.
    let ms = ms.min(253_402_300_799_999);
    to_text(UNIX_EPOCH + Duration::from_millis(ms))
}

/// The time of a file, in seconds since 1970 and nanoseconds, as text; the nearest one that has this
/// form.
pub fn of_file(seconds: i64, nanoseconds: u32) -> String {
    let since = match u64::try_from(seconds) {
        Ok(seconds) => Duration::new(seconds.min(253_402_300_799), nanoseconds),
        // Before 1970.
        Err(_) => Duration::ZERO,
    };
    to_text(UNIX_EPOCH + since)
}

/// A time from 1970 to 9999, as text.
pub fn to_text(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(from_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(from_ms(1_795_996_800_001), "2026-11-30T00:00:00.001Z");
        assert_eq!(from_ms(u64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(of_file(1, 2_000_000), "1970-01-01T00:00:01.002Z");
        assert_eq!(of_file(-1, 5), "1970-01-01T00:00:00.000Z");
        assert_eq!(of_file(i64::MAX, 0), "9999-12-31T23:59:59.000Z");
    }
}
