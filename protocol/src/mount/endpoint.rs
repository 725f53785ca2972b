//! The endpoint of a bucket.

use crate::Invalid;

/// An S3 endpoint: an `http` or `https` URL without user, query and fragment. No slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// Parses the field `options.endpoint`.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(url: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::request("options.endpoint must be a valid HTTP(S) URL");
        let (scheme, rest) = url.split_once("://").ok_or_else(refused)?;
        let rest = rest.trim_end_matches('/');
        let (authority, _path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_host = host.strip_prefix('[').map_or_else(
            || {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
            },
            |v6| {
                v6.strip_suffix(']').is_some_and(|v6| {
                    v6.contains(':') && v6.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
                })
            },
        );
        // The accepted characters are those of a path that s3fs's own option parser does not
        // interpret.
        let is_plain = rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_~:/[]%".contains(&b));
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if is_web && is_host && is_port && is_plain {
            Ok(Self(format!("{}://{rest}", scheme.to_ascii_lowercase())))
        } else {
            Err(refused())
        }
    }

    /// The endpoint of an R2 account. `None` when `account` is no account id.
    pub fn of_r2_account(account: &str) -> Option<Self> {
        let well_formed = !account.is_empty() && account.bytes().all(|b| b.is_ascii_alphanumeric());
        well_formed.then(|| Self(format!("https://{account}.r2.cloudflarestorage.com")))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is Amazon's own service.
    pub fn is_amazon(&self) -> bool {
        self.is_in("amazonaws.com")
    }

    /// Whether it is one of R2.
    pub fn is_r2(&self) -> bool {
        self.is_in("r2.cloudflarestorage.com")
    }

    fn is_in(&self, domain: &str) -> bool {
        let authority = self.0.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let host = authority.and_then(|authority| authority.split(':').next());
        host.is_some_and(|host| {
            let host = host.to_ascii_lowercase();
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}
