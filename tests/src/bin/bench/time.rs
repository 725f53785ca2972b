//! From clocks to numbers.

use std::time::{Duration, Instant};

/// Milliseconds since an instant.
pub fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// Megabytes (10⁶ bytes) a second.
pub fn mb_per_s(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}
