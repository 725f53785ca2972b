//! The settings with which the deployment creates named tunnels. The names of the variables are the
//! reference's.

use std::fmt;

/// The base URL of Cloudflare's API.
const API: &str = "https://api.cloudflare.com/client/v4";

/// The account of tunnels and the zone of their hostnames.
#[derive(Clone, PartialEq, Eq)]
pub struct TunnelConfig {
    /// `CLOUDFLARE_API_TOKEN` (secret, text; default: none): with the permissions "Cloudflare
    /// Tunnel: Edit", "DNS: Edit" and "Zone: Read".
    pub api_token: Option<String>,
    /// `CLOUDFLARE_TUNNEL_ACCOUNT_ID` or else `CLOUDFLARE_ACCOUNT_ID` (account id; default: the one
    /// that the zone is in).
    pub account_id: Option<String>,
    /// `CLOUDFLARE_ZONE_ID` (zone id; default: the only zone that the token can see): the zone of
    /// the hostnames.
    pub zone_id: Option<String>,
    /// `CLOUDFLARE_API_BASE_URL` (URL; default: Cloudflare's own): without a slash at the end.
    pub api_url: String,
}

impl TunnelConfig {
    /// Reads the variables that `var` knows.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            api_token: var("CLOUDFLARE_API_TOKEN"),
            account_id: var("CLOUDFLARE_TUNNEL_ACCOUNT_ID").or_else(|| var("CLOUDFLARE_ACCOUNT_ID")),
            zone_id: var("CLOUDFLARE_ZONE_ID"),
            api_url: var("CLOUDFLARE_API_BASE_URL")
                .as_deref()
                .unwrap_or(API)
                .trim_end_matches('/')
                .to_owned(),
        }
    }
}

impl fmt::Debug for TunnelConfig {
    /// Leaves the token out: it must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelConfig")
            .field("account_id", &self.account_id)
            .field("zone_id", &self.zone_id)
            .field("api_url", &self.api_url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_s_own_account_goes_first() {
        let config = |names: &[&str]| {
            TunnelConfig::from_vars(|name| names.contains(&name).then(|| format!("{name}/")))
        };
        let all = config(&[
            "CLOUDFLARE_API_TOKEN",
            "CLOUDFLARE_TUNNEL_ACCOUNT_ID",
            "CLOUDFLARE_ACCOUNT_ID",
            "CLOUDFLARE_ZONE_ID",
            "CLOUDFLARE_API_BASE_URL",
        ]);
        assert_eq!(all.account_id.as_deref(), Some("CLOUDFLARE_TUNNEL_ACCOUNT_ID/"));
        assert_eq!(all.api_url, "CLOUDFLARE_API_BASE_URL");
        assert!(!format!("{all:?}").contains("CLOUDFLARE_API_TOKEN"));
        let account = config(&["CLOUDFLARE_ACCOUNT_ID"]).account_id;
        assert_eq!(account.as_deref(), Some("CLOUDFLARE_ACCOUNT_ID/"));
        assert_eq!(config(&[]).api_url, API);
    }
}
