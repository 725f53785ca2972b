//! Visits to exposed ports, as the Sandbox object tells `sandboxd` of them.

use std::fmt;

use crate::ServerPort;

/// `DELETE` on `/visits/{port}/{until}`: closes the connections to a port by exposures that are valid
/// since that time, in milliseconds since 1970, or before, and refuses later ones. 204.
pub const VISITS: &str = "/visits/";

/// The path of the visits to a port.
pub fn visits_url(port: ServerPort, until_ms: u64) -> String {
    format!("{VISITS}{port}/{until_ms}")
}

/// Request header of the Sandbox object on [`crate::sandboxd::PROXY`]: the [`Validity`] of the exposure by which the
/// client visits the port. Absent: the client has the key or a token.
pub const VALIDITY_HEADER: &str = "sandbox-exposure-validity";

/// The time in which an exposure is valid, as [`VALIDITY_HEADER`] has it: `{since}` or
/// `{since} {remaining}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its beginning, in milliseconds since 1970.
    pub since_ms: u64,
    /// The milliseconds until its end. `None`: it has none.
    pub remaining_ms: Option<u64>,
}

impl Validity {
    /// Parses the header.
    pub fn parse(text: &str) -> Option<Self> {
        let (since, remaining) = match text.split_once(' ') {
            Some((since, remaining)) => (since, Some(remaining.parse().ok()?)),
            None => (text, None),
        };
        Some(Self {
            since_ms: since.parse().ok()?,
            remaining_ms: remaining,
        })
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.since_ms)?;
        self.remaining_ms
            .map_or(Ok(()), |remaining| write!(f, " {remaining}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validity_reads_back() {
        for text in ["5", "5 0", "1795996800001 60000"] {
            assert_eq!(Validity::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "x", "5 ", "5 x", " 5"] {
            assert_eq!(Validity::parse(text), None, "{text}");
        }
    }
}
