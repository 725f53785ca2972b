//! The label of a preview's host name: `{port}-{id}-{token id}-{MAC}`, read and written.

use std::fmt;

use crate::{Invalid, SandboxId, ServerPort};

/// The longest label of a host name, in characters (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;

/// The length of a MAC, in characters of 5 bits.
pub const MAC_LEN: usize = 12;

/// The length of a random token id, in characters of 5 bits.
pub const RANDOM_ID_LEN: usize = 6;

/// The characters of MACs and of random token ids.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The label of a preview's host name, without its MAC: `{port}-{id}-{token id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewLabel<'t> {
    /// The port.
    pub port: ServerPort,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The id of the token.
    pub token_id: &'t str,
}

impl<'t> PreviewLabel<'t> {
    /// Splits a label into what it names and its MAC, which is not verified. `None` for a text of
    /// another form.
    pub fn parse(label: &'t str) -> Option<(Self, &'t str)> {
        if label.len() > MAX_LABEL {
            return None;
        }
        let (signed, mac) = label.rsplit_once('-')?;
        let (port, rest) = signed.split_once('-')?;
        let (sandbox, token_id) = rest.split_once('-')?;
        // `01` would be a second address of port 1.
        let port = ServerPort::parse(port).ok().filter(|_| !port.starts_with('0'))?;
        let parsed = Self {
            port,
            sandbox: SandboxId::parse(sandbox).ok()?,
            token_id: Some(token_id).filter(|id| is_token_id(id))?,
        };
        (mac.len() == MAC_LEN).then_some((parsed, mac))
    }

    /// The text whose HMAC the MAC is taken from.
    pub fn to_signed_text(&self) -> String {
        self.to_string()
    }

    /// The whole label.
    ///
    /// # Errors
    ///
    /// 400 when it is longer than a label of a host name can be.
    pub fn with_mac(&self, mac: &str) -> Result<String, Invalid> {
        let label = format!("{self}-{mac}");
        if label.len() > MAX_LABEL {
            let most = MAX_LABEL - (label.len() - self.sandbox.as_str().len());
            return Err(Invalid::request(format!(
                "the id of the sandbox is too long for the name of a host: with this port and token, it can have at \
                 most {most} characters"
            )));
        }
        Ok(label)
    }
}

impl fmt::Display for PreviewLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.port, self.sandbox, self.token_id)
    }
}

/// The MAC of a label: the beginning of an HMAC.
pub fn mac(hmac: &[u8]) -> String {
    base32(hmac, MAC_LEN)
}

/// A token id from random bytes.
pub fn random_token_id(bytes: [u8; 4]) -> String {
    base32(&bytes, RANDOM_ID_LEN)
}

/// Whether a text is the id of a token: 1 to 16 characters of `a-z0-9_`.
pub(super) fn is_token_id(text: &str) -> bool {
    (1..=16).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The first `length` characters of the base32 of `bytes`, which are enough for them.
fn base32(bytes: &[u8], length: usize) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let value = |character: usize| (0..5).fold(0, |value, at| value << 1 | bit(character * 5 + at));
    let characters = (0..length).filter_map(|at| BASE32.get(usize::from(value(at))));
    characters.map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn a_label_reads_back() {
        let sandbox = SandboxId::parse(ID).unwrap();
        for (port, token_id) in [("80", "a"), ("65535", "my_app_234567890"), ("3000", "public")] {
            let label = PreviewLabel {
                port: ServerPort::parse(port).unwrap(),
                sandbox: sandbox.clone(),
                token_id,
            };
            let whole = label.with_mac("abcdefghijkl").unwrap();
            assert_eq!(
                PreviewLabel::parse(&whole),
                Some((label, "abcdefghijkl")),
                "{whole}"
            );
        }
    }

    #[test]
    fn labels_of_another_form_name_nothing() {
        for label in [
            "",
            "www",
            "3000-abc",
            "3000-abc-token",
            "3000-abc-token-short",
            "3000-abc--abcdefghijkl",
            "3000--token-abcdefghijkl",
            "0-abc-token-abcdefghijkl",
            "03000-abc-token-abcdefghijkl",
            "28671-abc-token-abcdefghijkl",
            "3000-ABC-token-abcdefghijkl",
            "3000-abc-to.en-abcdefghijkl",
            "3000-abc-to-en-abcdefghijkl",
            "3000-abc-a_token_that_is_17c-abcdefghijkl",
            &format!("3000-{}-token-abcdefghijkl", ID.repeat(2)),
        ] {
            assert_eq!(PreviewLabel::parse(label), None, "{label}");
        }
    }

    #[test]
    fn an_id_that_is_too_long_is_refused_with_the_longest_that_is_not() {
        let label = |length: usize| {
            let label = PreviewLabel {
                port: ServerPort::parse("3000").unwrap(),
                sandbox: SandboxId::parse(&"a".repeat(length)).unwrap(),
                token_id: "abcdef",
            };
            label.with_mac("abcdefghijkl")
        };
        let error = label(39).unwrap_err();
        assert!(error.message().ends_with("at most 38 characters"), "{error:?}");
        assert_eq!((error.status(), label(38).unwrap().len()), (400, 63));
    }

    #[test]
    fn macs_are_the_beginning_of_the_base32() {
        // RFC 4648, section 10: BASE32("foobar") = "MZXW6YTBOI======".
        assert_eq!(base32(b"foobar", 9), "mzxw6ytbo");
        assert_eq!(mac(&[0xff; 32]), "7".repeat(MAC_LEN));
        assert_eq!(random_token_id([0; 4]), "aaaaaa");
    }
}
