//! Reads the output of `cloudflared`: where its metrics are, which address it was given, and why it
//! failed. No I/O.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// The most bytes of a line that are read. The rest of a longer one is dropped.
const MAX_LINE: usize = 1024;

/// How many of the last lines explain a failure.
const LAST_LINES: usize = 5;

/// The domain of quick tunnels.
const QUICK_DOMAIN: &str = ".trycloudflare.com";

/// The relevant facts of a `cloudflared`'s output.
#[derive(Debug, Default)]
pub struct Log {
    /// The address of its metrics.
    pub metrics: Option<SocketAddr>,
    /// The host name that a quick tunnel was given.
    pub host: Option<String>,
    line: Vec<u8>,
    last: VecDeque<String>,
}

impl Log {
    /// Adds the next bytes of the output.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let free = MAX_LINE - self.line.len();
            self.line.extend(text.iter().take(free));
            if piece.len() > text.len() {
                self.end_line();
            }
        }
    }

    /// The last lines, for a person, without `secret`.
    pub fn last_lines(mut self, secret: Option<&str>) -> String {
        self.end_line();
        let text = self.last.make_contiguous().join(" | ");
        match secret.filter(|secret| !secret.is_empty()) {
            Some(secret) => text.replace(secret, "…"),
            None => text,
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        if line.is_empty() {
            return;
        }
        if self.metrics.is_none() {
            self.metrics = metrics_address(&line);
        }
        if self.host.is_none() {
            self.host = quick_host(&line);
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

/// The address in `… Starting metrics server on 127.0.0.1:20241/metrics`.
fn metrics_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("metrics server on ")?;
    rest.split(['/', ' ']).next()?.parse().ok()
}

/// The host in `… |  https://four-random-words-here.trycloudflare.com  |`. The address of the
/// service that assigns them, which a failure names, is not one.
fn quick_host(line: &str) -> Option<String> {
    line.split("https://").skip(1).find_map(|rest| {
        let is_host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let host = rest.split(|c| !is_host(c)).next()?;
        let label = host.strip_suffix(QUICK_DOMAIN)?;
        let given = !label.is_empty() && label != "api" && !label.contains('.');
        given.then(|| host.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTUP: &str = "\
2026-11-21T07:00:00Z INF Thank you for trying Cloudflare Tunnel. Doing so, without a Cloudflare account, is a quick way to
2026-11-21T07:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...
2026-11-21T07:00:01Z INF +------------------------------------------------------------------------+
2026-11-21T07:00:01Z INF |  Your quick Tunnel has been created! Visit it at (it may take some time): |
2026-11-21T07:00:01Z INF |  https://tidy-cups-grow-here.trycloudflare.com                            |
2026-11-21T07:00:01Z INF Starting metrics server on 127.0.0.1:20241/metrics
";

    #[test]
    fn the_address_and_the_metrics_are_found_in_any_pieces() {
        for size in [1, 7, 4096] {
            let mut log = Log::default();
            for piece in STARTUP.as_bytes().chunks(size) {
                log.push(piece);
            }
            assert_eq!(log.host.as_deref(), Some("tidy-cups-grow-here.trycloudflare.com"));
            assert_eq!(log.metrics, Some("127.0.0.1:20241".parse().unwrap()));
        }
    }

    #[test]
    fn other_addresses_are_none_that_was_given() {
        for line in [
            "failed to request quick Tunnel: Post \"https://api.trycloudflare.com/tunnel\": dial tcp: no such host",
            "see https://developers.cloudflare.com/x and https://trycloudflare.com",
            "https://a.b.trycloudflare.com",
            "http://plain.trycloudflare.com",
        ] {
            assert_eq!(quick_host(line), None, "{line}");
        }
        assert_eq!(
            quick_host("https://api.trycloudflare.com then https://Real-one.trycloudflare.com."),
            None,
            "a dot at the end is no host of ours"
        );
        assert_eq!(
            quick_host("https://api.trycloudflare.com, https://Real-one.trycloudflare.com/"),
            Some("real-one.trycloudflare.com".into())
        );
    }

    #[test]
    fn the_last_lines_are_kept_bounded_and_without_the_secret() {
        let mut log = Log::default();
        for number in 0..1000 {
            log.push(format!("line {number}\r\n\n").as_bytes());
        }
        log.push(&b"x".repeat(1 << 20));
        log.push(b"y\nerror: token s3cret is bad");
        let text = log.last_lines(Some("s3cret"));
        assert!(text.starts_with("line 997 | line 998 | line 999 | xxx"), "{text}");
        assert!(text.ends_with("x | error: token … is bad"), "{text}");
        assert!(text.len() < 2 * MAX_LINE);
    }
}
