//! Parts of an absolute URL as the runtime writes it. Everything stays percent-encoded.

/// The host, without user, port and brackets, in the case in which the client wrote it.
pub fn host(url: &str) -> &str {
    let authority = authority(url);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    }
}

/// Scheme, host and port, without user; `None` when this is no URL with a host.
pub fn origin(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once("://")?;
    Some(format!("{scheme}://{}", authority(url))).filter(|origin| !origin.ends_with('/'))
}

/// The scheme.
pub fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// Host and port, without user.
pub fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    authority.rsplit('@').next().unwrap_or("")
}

/// The path, without query and fragment.
pub fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or("");
    rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
}

/// The path with the query behind it, without the fragment.
pub fn path_and_query(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or("");
    rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
}

/// Path, query and fragment, as they follow the host and its port.
pub fn rest(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find(['/', '?', '#'])
        .and_then(|end| rest.get(end..))
        .unwrap_or("")
}

/// The query, without its `?`; empty when there is none.
pub fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or("");
    url.split_once('?').map_or("", |(_, query)| query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_encoded_and_lose_their_query() {
        for (url, expected) in [
            ("http://localhost:8787/v1/sandbox", "/v1/sandbox"),
            ("https://host/a%2Fb%20c?q=/x#y", "/a%2Fb%20c"),
            ("https://host", "/"),
            ("https://host?q=/v1", "/"),
        ] {
            assert_eq!(path(url), expected, "{url}");
        }
    }

    #[test]
    fn origins_lose_user_and_path() {
        for (url, expected) in [
            ("http://localhost:8787/v1?a=/", Some("http://localhost:8787")),
            ("https://u:p@host", Some("https://host")),
            ("http://[::1]:9/", Some("http://[::1]:9")),
            ("http:///x", None),
            ("", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn queries_stay_encoded() {
        for (url, both, query) in [
            (
                "http://object/persist?a=%2F&b=?c#d?e",
                "/persist?a=%2F&b=?c",
                "a=%2F&b=?c",
            ),
            ("http://object/persist#a?b", "/persist", ""),
            ("http://object/persist?", "/persist?", ""),
            ("http://object", "/", ""),
        ] {
            assert_eq!((path_and_query(url), super::query(url)), (both, query), "{url}");
        }
    }

    #[test]
    fn hosts_lose_user_port_and_brackets() {
        for (url, expected) in [
            ("http://localhost:8787/v1", "localhost"),
            ("http://[::1]:8787/", "::1"),
            ("https://user:localhost@example.com/", "example.com"),
            ("https://example.com?a=http://localhost/", "example.com"),
            ("https://example.com#@localhost/", "example.com"),
            ("", ""),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }
}
