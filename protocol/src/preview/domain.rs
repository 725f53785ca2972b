//! The host below which previews are. The label before it, with the port, the id and the token, is
//! [`PreviewLabel`](super::PreviewLabel).

/// The host name below which previews are, with the port of their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewDomain {
    name: String,
    port: Option<u16>,
}

impl PreviewDomain {
    /// Parses `HOST` or `HOST:PORT`, the form of the variable `PREVIEW_HOST`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port != 0)?)),
            None => (text, None),
        };
        let name = name.to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=super::label::MAX_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        name.split('.').all(is_label).then_some(Self { name, port })
    }

    /// The host of previews on a laptop: browsers resolve every name below `localhost` to the
    /// machine itself. `port` is the one at which the bridge was asked.
    pub fn localhost(port: Option<u16>) -> Self {
        Self {
            name: "localhost".to_owned(),
            port,
        }
    }

    /// The part of a host name that names a preview: what is before `.PREVIEW_HOST`. `None`: the
    /// host is not below it. A dot at the end of the name is not part of it.
    pub fn label<'h>(&self, host: &'h str) -> Option<&'h str> {
        let host = host.strip_suffix('.').unwrap_or(host);
        host.strip_suffix(self.name.as_str())?.strip_suffix('.')
    }

    /// Host and port of the preview with this label.
    pub fn authority(&self, label: &str) -> String {
        match self.port {
            Some(port) => format!("{label}.{}:{port}", self.name),
            None => format!("{label}.{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port() {
        for (text, authority) in [
            ("preview.example.com", "a.preview.example.com"),
            ("Preview.Example.com:8443", "a.preview.example.com:8443"),
            ("localhost:8787", "a.localhost:8787"),
        ] {
            assert_eq!(PreviewDomain::parse(text).unwrap().authority("a"), authority);
        }
        for bad in [
            "",
            ".",
            "a..b",
            ".example.com",
            "example.com.",
            "https://example.com",
            "example.com/",
            "example.com:",
            "example.com:0",
            "*.example.com",
            "[::1]:80",
        ] {
            assert_eq!(PreviewDomain::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_host_below_it_is_a_preview() {
        let host = PreviewDomain::parse("example.com").unwrap();
        for (name, label) in [
            ("a.example.com", Some("a")),
            ("a.b.example.com", Some("a.b")),
            ("a.example.com.", Some("a")),
            (".example.com", Some("")),
            ("example.com", None),
            ("example.com.", None),
            ("anexample.com", None),
            ("a.example.com.org", None),
        ] {
            assert_eq!(host.label(name), label, "{name}");
        }
    }
}
