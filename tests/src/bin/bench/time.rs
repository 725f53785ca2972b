//! From clocks to numbers.

use std::time::{Duration, Instant};

/// Milliseconds since a moment.
pub fn ms_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// Megabytes (10⁶ bytes) a second.
pub fn mb_per_s(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}
