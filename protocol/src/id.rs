//! The name of a sandbox.

use std::fmt;

use crate::Invalid;

const ALPHABET: [char; 32] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u',
    'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
];

/// A sandbox id: 1 to 128 characters of `a-z2-7` (the contract's `^[a-z2-7]{1,128}$`).
///
/// Any well-formed id names a sandbox, whether or not `POST /v1/sandbox` ever returned it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SandboxId(String);

impl SandboxId {
    /// The longest id, in characters.
    pub const MAX_LEN: usize = 128;

    /// Parses an id as it stands in a URL. The error's text is one that public test suites compare.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(id: &str) -> Result<Self, Invalid> {
        let well_formed = (1..=Self::MAX_LEN).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        if well_formed {
            Ok(Self(id.to_owned()))
        } else {
            Err(Invalid::request("Invalid sandbox ID format"))
        }
    }

    /// A new id from 16 random bytes: unpadded lower-case base32, 26 characters.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let bits = u128::from_be_bytes(bytes);
        // 26 characters hold 130 bits: the last one carries two zero bits of padding.
        let char_at = |i: u32| {
            let shift = 123_i32 - 5 * i as i32;
            let five = if shift >= 0 { bits >> shift } else { bits << -shift };
            ALPHABET.get((five & 31) as usize).copied().unwrap_or('a')
        };
        Self((0..26).map(char_at).collect())
    }

    /// The id as it stands in URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_exactly_the_contract_pattern() {
        for good in ["a", "z7", "mysandbox", &"a".repeat(128)] {
            assert_eq!(SandboxId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "a-b", "a1", "a8", "é", "a b", &"a".repeat(129)] {
            assert_eq!(
                SandboxId::parse(bad).unwrap_err().message(),
                "Invalid sandbox ID format",
                "{bad:?}"
            );
        }
    }

    #[test]
    fn random_ids_are_rfc4648_base32() {
        assert_eq!(SandboxId::from_random([0; 16]).as_str(), "a".repeat(26));
        assert_eq!(
            SandboxId::from_random([0xff; 16]).as_str(),
            format!("{}4", "7".repeat(25))
        );
        assert_eq!(
            SandboxId::from_random(*b"0123456789abcdef").as_str(),
            "gaytemzugu3doobzmfrggzdfmy"
        );
        SandboxId::parse(SandboxId::from_random(*b"0123456789abcdef").as_str()).unwrap();
    }
}
