//! Authorization of callers.
//!
//! Keys are compared by their SHA-256 digests, byte for byte to the end, so that the time taken
//! reveals nothing about the key or its length. Without a configured key only callers on this
//! machine are accepted: a deployment that lacks its key is closed, never open to the world.
//! Requests from this machine's browsers are then accepted only from pages of the bridge itself:
//! any page on the web can make a browser send requests to a loopback address.

use sandbox_protocol::SandboxId;
use sandbox_protocol::route_table::Access;
use sandbox_protocol::token::Claims;
use wasm_bindgen_futures::JsFuture;

use crate::config::Config;
use crate::error::ApiError;
use crate::new_id::crypto;
use crate::{token, url};

/// The authority of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Everything: it has a key.
    Key,
    /// The claims of its token.
    Token(Claims),
}

impl Authority {
    /// The sandbox that it is for; `None`: all.
    pub fn sandbox(&self) -> Option<&SandboxId> {
        match self {
            Self::Key => None,
            Self::Token(claims) => claims.sandbox.as_ref(),
        }
    }

    /// Whether it may call an operation with this access on this sandbox. Error: 403.
    pub fn check(&self, access: Access, sandbox: Option<&SandboxId>) -> Result<(), ApiError> {
        match self {
            Self::Key => Ok(()),
            Self::Token(_) if access == Access::Key => {
                Err(ApiError::Forbidden("a key is needed, not a token".into()))
            }
            Self::Token(Claims {
                sandbox: Some(own), ..
            }) if access == Access::TokenForAll => Err(ApiError::Forbidden(format!(
                "the token is for the sandbox {own} alone"
            ))),
            Self::Token(claims) => claims.check(access.scope(), sandbox).map_err(ApiError::Forbidden),
        }
    }
}

/// Accepts a request, or fails with 401 or 503. `authorization` is the header's value, `url` the
/// request's URL.
pub async fn authorize(
    config: &Config,
    authorization: Option<&str>,
    url: &str,
) -> Result<Authority, ApiError> {
    if config.api_keys.first().is_none() {
        return if is_loopback(url::host(url)) {
            Ok(Authority::Key)
        } else {
            Err(ApiError::NotConfigured(
                "SANDBOX_API_KEY is not set: set it with `wrangler secret put SANDBOX_API_KEY`".into(),
            ))
        };
    }
    let presented = authorization.and_then(bearer).ok_or(ApiError::Unauthorized)?;
    let digest = sha256(presented).await?;
    for key in config.api_keys.iter() {
        let expected = match key.digest.get() {
            Some(expected) => *expected,
            None => {
                let expected = sha256(&key.text).await?;
                *key.digest.get_or_init(|| expected)
            }
        };
        if constant_time_eq(&expected, &digest) {
            return Ok(Authority::Key);
        }
    }
    token::verify(&config.api_keys, presented)
        .await
        .map(Authority::Token)
}

/// The token of `Bearer TOKEN`, the scheme in any case.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// Whether a browser sends this request for a web page of another origin. `origin` and `fetch_site`
/// are the headers `Origin` and `Sec-Fetch-Site`, `url` is the request's. The scheme does not
/// count: there may be a proxy with TLS in between.
pub fn is_cross_origin(origin: Option<&str>, fetch_site: Option<&str>, url: &str) -> bool {
    let is_foreign_origin = origin.is_some_and(|origin| url::authority(origin) != url::authority(url));
    let is_foreign_site = fetch_site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    is_foreign_origin || is_foreign_site
}

/// Whether a host name is of the machine that the request comes from.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "::1"
        // The runtime writes every form of an IPv4 address as four numbers, and the parser of
        // addresses is large.
        || (host.starts_with("127.") && host.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// The SHA-256 digest of `text`.
pub async fn sha256(text: &str) -> Result<[u8; 32], ApiError> {
    let bytes = js_sys::Uint8Array::from(text.as_bytes());
    let digest = crypto()?
        .subtle()
        .digest_with_str_and_js_u8_array("SHA-256", &bytes)?;
    let digest = js_sys::Uint8Array::new(&JsFuture::from(digest).await?);
    let mut result = [0; 32];
    if digest.length() != 32 {
        return Err(ApiError::Internal("SHA-256 gave no 32 bytes".into()));
    }
    digest.copy_to(&mut result);
    Ok(result)
}

/// Whether two digests are equal, compared in constant time.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    // No early exit: every byte is compared, whatever the others were.
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_taken_in_any_case() {
        for header in ["Bearer k", "bearer k", "BEARER  k", " Bearer k "] {
            assert_eq!(bearer(header), Some("k"), "{header}");
        }
        for header in ["", "k", "Bearer", "Basic k", "Bearerk"] {
            assert_eq!(bearer(header), None, "{header}");
        }
        assert_eq!(bearer("Bearer a b"), Some("a b"));
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for url in [
            "http://localhost:8787/v1/sandbox",
            "http://localhost",
            "http://127.0.0.1:1/",
            "http://127.9.9.9/",
            "http://[::1]:8787/",
            "http://a.localhost/",
        ] {
            assert!(is_loopback(url::host(url)), "{url}");
        }
        for url in [
            "https://bridge.example.com/",
            "https://localhost.example.com/",
            "https://127.0.0.1.example.com/",
            "https://user:localhost@example.com/",
            "https://example.com/?a=http://localhost/",
            "https://example.com#@localhost/",
            "https://192.168.0.1/",
            "http://[::2]/",
            "http://0.0.0.0/",
            "",
        ] {
            assert!(!is_loopback(url::host(url)), "{url}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_foreign() {
        let url = "http://localhost:8787/v1/sandbox";
        for (origin, site) in [
            (None, None),
            (None, Some("none")),
            (None, Some("same-origin")),
            (Some("http://localhost:8787"), Some("same-origin")),
            (Some("https://localhost:8787"), None),
        ] {
            assert!(!is_cross_origin(origin, site, url), "{origin:?} {site:?}");
        }
        for (origin, site) in [
            (Some("https://example.com"), None),
            (Some("http://localhost:3000"), Some("same-site")),
            (Some("http://localhost"), None),
            (Some("http://localhost:8787.example.com"), None),
            (Some("null"), None),
            (Some(""), None),
            (None, Some("cross-site")),
            (None, Some("same-site")),
        ] {
            assert!(is_cross_origin(origin, site, url), "{origin:?} {site:?}");
        }
    }

    #[test]
    fn digests_differ_in_any_byte() {
        let a = [7; 32];
        assert!(constant_time_eq(&a, &a));
        for i in 0..32 {
            let mut b = a;
            b[i] ^= 1;
            assert!(!constant_time_eq(&a, &b), "byte {i}");
        }
    }
}
