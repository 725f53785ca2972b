//! The permissions of a file.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::Invalid;

/// The permission bits of a file: 0 to 0777.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// Parses octal digits, as `chmod` takes them: `644` or `0644`.
    ///
    /// # Errors
    ///
    /// 400 for anything else, and for set-id and sticky bits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix('0').filter(|rest| !rest.is_empty());
        let digits = digits.unwrap_or(text);
        let is_octal = digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if is_octal && digits.len() <= 3 => Ok(Self(bits)),
            _ => Err(Invalid::request("mode must be octal, from 0000 to 0777")),
        }
    }

    /// The permission bits of a raw mode.
    pub fn from_raw(mode: u32) -> Self {
        Self(mode & 0o777)
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// Four octal digits.
impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, written) in [
            ("644", "0644"),
            ("0755", "0755"),
            ("0", "0000"),
            ("00", "0000"),
            ("0000", "0000"),
            ("7", "0007"),
        ] {
            assert_eq!(FileMode::parse(text).unwrap().to_string(), written, "{text}");
        }
        for text in [
            "", "8", "+7", "-1", "4755", "1777", "00644", "0o644", "rwx", " 644",
        ] {
            assert!(FileMode::parse(text).is_err(), "{text}");
        }
    }
}
