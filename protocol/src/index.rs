//! The calls of the Worker and of Sandbox objects to the shards of the index.
//!
//! The index knows every sandbox that was created with settings, or has run. Each shard has the
//! sandboxes whose ids have its number as their hash.

pub mod merge;

use std::time::Duration;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::SandboxId;
use crate::sandbox::SandboxState;

/// The time for which a permit to run is valid unless it is renewed.
pub const PERMIT_LEASE: Duration = Duration::from_secs(3 * 3600);
/// The interval at which a permit is renewed.
pub const PERMIT_RENEW_INTERVAL: Duration = Duration::from_secs(3600);
/// The fewest permits of a shard, where there are enough: with fewer, shards would often be full
/// while others have some left.
const MIN_PERMITS: u32 = 64;

/// A call to a shard: a `POST` on [`IndexCall::path`], with a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexCall {
    /// A [`SandboxReport`]. Answer: 204.
    Report,
    /// A [`crate::sandbox::ListQuery`]. Answer: [`ShardPage`].
    List,
    /// A [`PermitRequest`]. Answer: [`PermitAnswer`].
    Acquire,
    /// A [`PermitRelease`]. Answer: 204.
    Release,
}

impl IndexCall {
    const ALL: [Self; 4] = [Self::Report, Self::List, Self::Acquire, Self::Release];

    /// The path of the request.
    pub fn path(self) -> &'static str {
        match self {
            Self::Report => "/index/report",
            Self::List => "/index/list",
            Self::Acquire => "/index/acquire",
            Self::Release => "/index/release",
        }
    }

    /// The call behind a path, if it is one.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.path() == path)
    }
}

/// The report of a Sandbox object to its shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxReport {
    /// The sandbox.
    pub id: String,
    /// The time of the change by the clock of the Sandbox object, in milliseconds since 1970: later
    /// changes of a sandbox have later times, and reports can overtake each other.
    pub changed_ms: u64,
    /// The time of its creation, in milliseconds since 1970.
    pub created_ms: u64,
    /// The sandbox now; `None`: it was destroyed.
    pub listed: Option<Listed>,
}

/// A sandbox as the index keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    /// Its state.
    pub state: SandboxState,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its [`SandboxInfo`](crate::sandbox::SandboxInfo), which only clients read.
    pub info: Box<RawValue>,
}

/// The answer of [`IndexCall::List`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ShardPage {
    /// The sandboxes of the shard behind the cursor, newest first.
    pub rows: Vec<ShardRow>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// A sandbox in a [`ShardPage`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShardRow {
    /// The time of its creation, in milliseconds since 1970.
    pub created_ms: u64,
    /// Its id.
    pub id: String,
    /// Its [`SandboxInfo`](crate::sandbox::SandboxInfo), which only clients read.
    pub info: Box<RawValue>,
}

/// The request for a permit to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitRequest {
    /// The sandbox.
    pub id: String,
    /// The most sandboxes that may have a permit of this shard.
    pub limit: u32,
    /// The time for which the permit is valid unless it is renewed, in milliseconds.
    pub lease_ms: u64,
}

/// The answer of [`IndexCall::Acquire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitAnswer {
    /// Whether the sandbox has a permit, a new one or one that is renewed.
    pub granted: bool,
}

/// The end of a permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitRelease {
    /// The sandbox.
    pub id: String,
}

/// The number of the shard of a sandbox, of `shards`.
pub fn shard(id: &SandboxId, shards: u32) -> u32 {
    // FNV-1a: ids are random, or the digest of a name, but clients may choose any.
    let hash = id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The high bits are the better mixed ones.
    u32::try_from((hash >> 32) % u64::from(shards.max(1))).unwrap_or_default()
}

/// The name of the object of a shard.
pub fn shard_name(shard: u32) -> String {
    format!("shard-{shard}")
}

/// The number of shards that give permits, so that each has enough of the `max` permits.
pub fn permit_shards(max: u32, shards: u32) -> u32 {
    (max / MIN_PERMITS).clamp(1, shards.max(1))
}

/// The permits of one of `shards` shards; those of all together are `max`.
pub fn permit_share(max: u32, shard: u32, shards: u32) -> u32 {
    let shards = shards.max(1);
    max / shards + u32::from(shard < max % shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for call in IndexCall::ALL {
            assert_eq!(IndexCall::from_path(call.path()), Some(call));
        }
        assert_eq!(IndexCall::from_path("/index"), None);
    }

    #[test]
    fn shards_get_equal_parts() {
        let mut counts = [0_u32; 16];
        for i in 0..16_000_u128 {
            let random = SandboxId::from_random(
                i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)
                    .to_be_bytes(),
            );
            let counted = SandboxId::parse(&format!("a{}", "b".repeat(i as usize % 100 + 1))).unwrap();
            assert!(shard(&counted, 16) < 16);
            counts[shard(&random, 16) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
        let id = SandboxId::parse("abc").unwrap();
        assert_eq!((shard(&id, 1), shard(&id, 0)), (0, 0));
    }
    #[test]
    fn the_permits_of_all_shards_are_the_maximum() {
        for (max, shards) in [
            (0, 1),
            (1, 1),
            (20, 1),
            (100, 1),
            (130, 2),
            (1000, 15),
            (5000, 16),
        ] {
            assert_eq!(permit_shards(max, 16), shards, "{max}");
            let sum: u32 = (0..shards).map(|shard| permit_share(max, shard, shards)).sum();
            assert_eq!(sum, max);
        }
    }
}
