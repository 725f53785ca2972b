//! The secret of this boot. Only the process that started `sandboxd` knows it, and sends it with
//! every request. Commands can reach the port of `sandboxd` like any other, and would act there as
//! root and in the name of any client.

use std::fmt;

use axum::http::HeaderMap;
use sandbox_protocol::sandboxd::SECRET_HEADER;
use subtle::ConstantTimeEq as _;

use crate::Error;

/// The secret that a request must carry.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret `text`; `None` when it is empty.
    pub fn new(text: String) -> Option<Self> {
        (!text.is_empty()).then_some(Self(text))
    }

    /// Accepts a request that carries the secret. The time that it takes tells nothing about the
    /// secret but its length, which is the same for all.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let presented = headers
            .get(SECRET_HEADER)
            .map_or(&b""[..], |value| value.as_bytes());
        if self.0.as_bytes().ct_eq(presented).into() {
            Ok(())
        } else {
            Err(Error::Unauthorized)
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_passes_and_nothing_prints_it() {
        let secret = Secret::new("0123456789".into()).unwrap();
        let check = |presented: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(presented) = presented {
                headers.insert(SECRET_HEADER, presented.parse().unwrap());
            }
            secret.check(&headers).is_ok()
        };
        assert!(check(Some("0123456789")));
        for wrong in [
            None,
            Some(""),
            Some("012345678"),
            Some("01234567890"),
            Some("0123456780"),
        ] {
            assert!(!check(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(Secret::new(String::new()), None);
    }
}
