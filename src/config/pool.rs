//! The pool's variables.

use std::time::Duration;

use sandbox_protocol::duration;

use super::parse::{parse, whole};
use crate::error::ApiError;

/// The minimum of `WARM_POOL_REFRESH_INTERVAL`: with less, the pool would do little but refill.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// The maximum: far above any use, and far below the range of an alarm's time.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// The maximum of `WARM_POOL_SCALE_BATCH_SIZE`.
const MAX_BATCH: u32 = 20;

/// The configuration of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// `WARM_POOL_TARGET` (whole number; default 0, the pool is off): the target number of warm
    /// sandboxes.
    pub target: u32,
    /// `WARM_POOL_REFRESH_INTERVAL` (milliseconds, or a duration like `10s`, from 100 ms to 24 h;
    /// default 10 s): the interval between two refills of the pool, and its pause after a failed
    /// start.
    pub refresh_interval: Duration,
    /// `WARM_POOL_MAX_INSTANCES` (whole number; default 0, not known): the maximum of running
    /// sandboxes. The pool never starts one above it.
    pub max_instances: Option<u32>,
    /// `WARM_POOL_SCALE_BATCH_SIZE` (1 to 20; default 5): the number of sandboxes that the pool
    /// starts at once.
    pub batch: u32,
}

impl PoolConfig {
    /// Reads the variables that `var` knows. One that does not parse is an error that names it and
    /// its form.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ApiError> {
        Ok(Self {
            target: parse(&var, "WARM_POOL_TARGET", "a whole number", whole)?.unwrap_or(0),
            refresh_interval: parse(
                &var,
                "WARM_POOL_REFRESH_INTERVAL",
                "milliseconds or a duration like 10s, from 100 ms to 24 h",
                |text| {
                    duration::parse_or_ms(text)
                        .filter(|interval| (MIN_INTERVAL..=MAX_INTERVAL).contains(interval))
                },
            )?
            .unwrap_or(Duration::from_secs(10)),
            max_instances: parse(&var, "WARM_POOL_MAX_INSTANCES", "a whole number", whole)?
                .filter(|n| *n > 0),
            batch: parse(
                &var,
                "WARM_POOL_SCALE_BATCH_SIZE",
                "a whole number from 1 to 20",
                |text| whole(text).filter(|n| (1..=MAX_BATCH).contains(n)),
            )?
            .unwrap_or(5),
        })
    }

    /// Whether there is a pool at all.
    pub fn is_on(&self) -> bool {
        self.target > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<PoolConfig, ApiError> {
        PoolConfig::from_vars(|name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_pool_is_off_by_default() {
        let expected = PoolConfig {
            target: 0,
            refresh_interval: Duration::from_secs(10),
            max_instances: None,
            batch: 5,
        };
        assert_eq!(config(&[]).unwrap(), expected);
        let zeros = [("WARM_POOL_TARGET", "0"), ("WARM_POOL_MAX_INSTANCES", "0")];
        assert_eq!(config(&zeros).unwrap(), expected);
        assert!(!expected.is_on());
    }

    #[test]
    fn every_variable() {
        for (interval, ms) in [("2500", 2500), ("2500ms", 2500), ("1m", 60_000)] {
            let set = config(&[
                ("WARM_POOL_TARGET", "3"),
                ("WARM_POOL_REFRESH_INTERVAL", interval),
                ("WARM_POOL_MAX_INSTANCES", "10"),
                ("WARM_POOL_SCALE_BATCH_SIZE", "20"),
            ]);
            let expected = PoolConfig {
                target: 3,
                refresh_interval: Duration::from_millis(ms),
                max_instances: Some(10),
                batch: 20,
            };
            assert_eq!(set.unwrap(), expected);
        }
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (name, bad) in [
            ("WARM_POOL_TARGET", ["-1", "many", "1.5"]),
            ("WARM_POOL_REFRESH_INTERVAL", ["99", "25h", "soon"]),
            ("WARM_POOL_MAX_INSTANCES", ["1.5", "-1", "all"]),
            ("WARM_POOL_SCALE_BATCH_SIZE", ["0", "21", "x"]),
        ] {
            for value in bad {
                let error = config(&[(name, value)]).unwrap_err();
                assert_eq!(error.parts().0, 503);
                let text = error.body().error;
                assert!(text.starts_with(name) && text.contains(value), "{text}");
            }
        }
    }
}
