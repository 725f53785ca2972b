//! The header `Retry-After`, of answers that a repeated request may not get again.

/// The shortest and the longest time after which a client is to try again, in seconds.
const RETRY_AFTER: (u32, u32) = (1, 3);

/// The value of the header `Retry-After`, in seconds. `random`, from 0 to 1, spreads the clients
/// that failed at the same time.
pub fn retry_after_seconds(random: f64) -> u32 {
    let (shortest, longest) = RETRY_AFTER;
    let jitter = (random * f64::from(longest - shortest + 1)) as u32;
    longest.min(shortest + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_to_come_back_at_different_times() {
        assert_eq!(
            [0.0, 0.34, 0.67, 0.99, 1.0].map(retry_after_seconds),
            [1, 2, 3, 3, 3]
        );
    }
}
