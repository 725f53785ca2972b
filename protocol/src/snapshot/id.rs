//! The id of a snapshot.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// The digits of the time, in the order of their characters.
const DIGITS: [char; 32] = [
    '2', '3', '4', '5', '6', '7', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// The characters of the time: 45 bits, enough until the year 3084.
const TIME_LENGTH: u32 = 9;

/// The characters of an id.
const LENGTH: usize = 35;

/// A snapshot id: 35 characters of `a-z2-7`. The first nine are the time of its creation, inverted, so
/// that the ids of newer snapshots sort before those of older ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId(String);

impl SnapshotId {
    /// Parses an id as it stands in a URL or a body.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(id: &str) -> Result<Self, Invalid> {
        let is_of_id = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
        if id.len() == LENGTH && id.bytes().all(is_of_id) {
            Ok(Self(id.to_owned()))
        } else {
            Err(Invalid::request("Invalid snapshot ID format"))
        }
    }

    /// A new id, for a snapshot that is created at `now_ms` in milliseconds since 1970.
    pub fn new(now_ms: u64, random: [u8; 16]) -> Self {
        let inverted = !now_ms;
        let digit = |i: u32| {
            let shift = 5 * (TIME_LENGTH - 1 - i);
            let value = (inverted >> shift) & 31;
            DIGITS.get(value as usize).copied().unwrap_or('2')
        };
        let time: String = (0..TIME_LENGTH).map(digit).collect();
        Self(time + crate::SandboxId::from_random(random).as_str())
    }

    /// The id as it stands in URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        Self::parse(&id).map_err(|e| e.message().to_owned())
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> Self {
        id.0
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_ids_sort_before_older_ones() {
        let times = [
            0,
            1,
            31,
            32,
            1_764_500_000_000,
            1_764_500_000_001,
            35_000_000_000_000,
        ];
        let ids = times.map(|ms| SnapshotId::new(ms, [7; 16]));
        assert!(ids.is_sorted_by(|older, newer| newer < older), "{ids:?}");
        for id in ids {
            assert_eq!(SnapshotId::parse(id.as_str()).unwrap(), id);
        }
        let same = |random| SnapshotId::new(5, [random; 16]);
        assert_ne!(same(1), same(2));
    }

    #[test]
    fn other_texts_are_refused() {
        let id = SnapshotId::new(5, [0; 16]).to_string();
        for text in [
            "",
            "a",
            &id.to_uppercase(),
            &format!("{id}a"),
            &id.replace('a', "1"),
        ] {
            assert_eq!(SnapshotId::parse(text).unwrap_err().status(), 400, "{text}");
        }
        assert!(serde_json::from_str::<SnapshotId>("\"../x\"").is_err());
    }
}
