//! The addresses of previews: their host, and the MACs of their tokens. See
//! [`sandbox_protocol::preview`].

use sandbox_protocol::ServerPort;
use sandbox_protocol::preview::{PreviewDomain, PreviewLabel, mac};

use crate::auth::{constant_time_eq, is_loopback};
use crate::config::{ApiKeys, Config};
use crate::error::ApiError;
use crate::hmac::derived_key;
use crate::{new_id, url};

/// The text from which the key of the MACs is derived.
const PURPOSE: &str = "sandbar preview";

/// The key of a deployment without keys, which only callers on its machine can reach. It protects
/// nothing: the token ids do.
const NO_KEY: &str = "no key";

/// The host below which the previews of a deployment are, as a client at `url` is to see it. `None`:
/// `PREVIEW_HOST` is not set, and the client is not on this machine.
pub fn host(config: &Config, url: &str) -> Option<PreviewDomain> {
    let localhost = || {
        let port = url::authority(url).rsplit_once(':');
        let port = port.and_then(|(_, port)| port.parse().ok());
        let name = url::host(url).to_ascii_lowercase();
        is_loopback(name.trim_end_matches('.')).then(|| PreviewDomain::localhost(port))
    };
    config.preview_host.clone().or_else(localhost)
}

/// The label of the preview that a request to `url` is for, if it is for one. The runtime leaves the
/// case of a host as the client wrote it.
pub fn requested(config: &Config, url: &str) -> Option<String> {
    let name = url::host(url).to_ascii_lowercase();
    host(config, url)?.label(&name).map(str::to_owned)
}

/// The label with a MAC by the first key of the deployment, and the token in it. Error: 400 when it
/// is too long for a host name.
pub async fn sign(keys: &ApiKeys, label: &PreviewLabel<'_>) -> Result<(String, String), ApiError> {
    let key = keys.first().map_or(NO_KEY, |key| &key.text);
    let mac = mac_by(key, label).await?;
    let token = format!("{}-{mac}", label.token_id);
    Ok((label.with_mac(&mac)?, token))
}

/// The label whose MAC is by a key of the deployment. Error: 404 `invalid_token`.
pub async fn verify<'t>(keys: &ApiKeys, label: &'t str) -> Result<PreviewLabel<'t>, ApiError> {
    let (label, presented) = PreviewLabel::parse(label).ok_or(ApiError::InvalidToken)?;
    let texts = keys.iter().map(|key| key.text.as_str());
    let without = keys.first().is_none().then_some(NO_KEY);
    for key in texts.chain(without) {
        let expected = mac_by(key, &label).await?;
        if constant_time_eq(expected.as_bytes(), presented.as_bytes()) {
            return Ok(label);
        }
    }
    Err(ApiError::InvalidToken)
}

async fn mac_by(key: &str, label: &PreviewLabel<'_>) -> Result<String, ApiError> {
    let key = derived_key(key, PURPOSE).await?;
    Ok(mac(&key.sign(&label.to_signed_text()).await?))
}

/// A random token id.
pub fn random_token_id() -> Result<String, ApiError> {
    let mut bytes = [0; 4];
    new_id::crypto()?.get_random_values_with_u8_array(&mut bytes)?;
    Ok(sandbox_protocol::preview::random_token_id(bytes))
}

/// The header `Location` of a server's response as the client is to see it: an address of the server
/// itself becomes one below `base`, the URL at which the client reaches the server's `/`, without
/// that slash. `prefix` is the path of `base`. `None`: it stays as it is.
pub fn location(location: &str, port: ServerPort, base: &str, prefix: &str) -> Option<String> {
    let has_scheme = |scheme: &str| {
        let start = location.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let rest = if has_scheme("http://") || has_scheme("https://") {
        is_of_server(location, port).then(|| url::rest(location))?
    } else {
        // `//host/path` is an address of another host.
        let is_path = location.starts_with('/') && !location.starts_with("//");
        (is_path && !prefix.is_empty()).then_some(location)?
    };
    let has_prefix = rest
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with('/'));
    // A server that knows `X-Forwarded-Prefix` has written it itself.
    let base = match has_prefix {
        true => base.strip_suffix(prefix).unwrap_or(base),
        false => base,
    };
    let slash = if rest.starts_with('/') { "" } else { "/" };
    Some(format!("{base}{slash}{rest}"))
}

/// Whether a URL is of the server on `port` itself, by the names that it knows.
fn is_of_server(url: &str, port: ServerPort) -> bool {
    let names = ["localhost", "127.0.0.1", "0.0.0.0", "::1"];
    let default = if url.starts_with("https") { 443 } else { 80 };
    let authority = url::authority(url);
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
    let written = after_host.rsplit_once(':').map(|(_, port)| port.parse().ok());
    names.contains(&url::host(url)) && written.unwrap_or(Some(default)) == Some(port.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(preview_host: Option<&str>) -> Config {
        let host = preview_host.map(str::to_owned);
        Config::from_vars(|name| (name == "PREVIEW_HOST").then(|| host.clone()).flatten()).unwrap()
    }

    #[test]
    fn a_request_is_for_a_preview_by_its_host_alone() {
        let deployed = config(Some("preview.example.com"));
        for (url, label) in [
            ("https://a.preview.example.com/v1/sandbox", Some("a")),
            ("https://a.preview.example.com.:8443/health", Some("a")),
            ("https://A.Preview.Example.COM/", Some("a")),
            ("https://preview.example.com/v1", None),
            ("https://example.com/?a.preview.example.com", None),
            ("https://example.com/a.preview.example.com", None),
            // `PREVIEW_HOST` is set, so a laptop's names mean nothing.
            ("http://a.localhost:8787/", None),
        ] {
            assert_eq!(requested(&deployed, url).as_deref(), label, "{url}");
        }
        let laptop = config(None);
        for (url, label) in [
            ("http://3000-a-b-c.localhost:8787/", Some("3000-a-b-c")),
            ("http://a.localhost.:8787/", Some("a")),
            ("http://A.LOCALHOST:8787/", Some("a")),
            ("http://localhost:8787/", None),
            ("http://127.0.0.1:8787/", None),
            ("https://a.example.com/", None),
        ] {
            assert_eq!(requested(&laptop, url).as_deref(), label, "{url}");
        }
    }

    #[test]
    fn the_host_on_a_laptop_is_localhost_with_the_port_of_the_bridge() {
        let laptop = config(None);
        for (url, authority) in [
            ("http://localhost:8787/v1", Some("a.localhost:8787")),
            ("http://127.0.0.1:99/", Some("a.localhost:99")),
            ("http://[::1]:8787/", Some("a.localhost:8787")),
            ("http://localhost/", Some("a.localhost")),
            ("https://sandbar.example.com/", None),
        ] {
            let host = host(&laptop, url).map(|host| host.authority("a"));
            assert_eq!(host.as_deref(), authority, "{url}");
        }
    }

    #[test]
    fn addresses_of_the_server_itself_lead_back_to_it() {
        let port = ServerPort::parse("3000").unwrap();
        let host = ("https://p.example.com", "");
        let path = ("https://x.org/v1/sandbox/a/port/3000", "/v1/sandbox/a/port/3000");
        for (from, in_host, in_path) in [
            (
                "http://localhost:3000/a?b=/c#d",
                Some("https://p.example.com/a?b=/c#d"),
                Some("https://x.org/v1/sandbox/a/port/3000/a?b=/c#d"),
            ),
            (
                "http://127.0.0.1:3000",
                Some("https://p.example.com/"),
                Some("https://x.org/v1/sandbox/a/port/3000/"),
            ),
            (
                "https://[::1]:3000?a",
                Some("https://p.example.com/?a"),
                Some("https://x.org/v1/sandbox/a/port/3000/?a"),
            ),
            ("/a", None, Some("https://x.org/v1/sandbox/a/port/3000/a")),
            (
                "/v1/sandbox/a/port/3000/a",
                None,
                Some("https://x.org/v1/sandbox/a/port/3000/a"),
            ),
            (
                "/a?b=http://c/",
                None,
                Some("https://x.org/v1/sandbox/a/port/3000/a?b=http://c/"),
            ),
            ("a/b", None, None),
            ("?a", None, None),
            ("", None, None),
            ("//example.com/a", None, None),
            ("http://localhost:3001/", None, None),
            ("http://localhost/", None, None),
            ("http://localhost:3000@example.com/", None, None),
            ("https://example.com/http://localhost:3000/", None, None),
            ("app://localhost:3000/", None, None),
        ] {
            let rewritten = |(base, prefix)| location(from, port, base, prefix);
            let both = (rewritten(host), rewritten(path));
            assert_eq!(
                (both.0.as_deref(), both.1.as_deref()),
                (in_host, in_path),
                "{from}"
            );
        }
    }
}
