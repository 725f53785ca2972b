//! The readiness and the metrics of a `cloudflared`, over local HTTP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response, StatusCode};
use tokio::time::timeout;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The metric that counts the requests through a tunnel.
const TOTAL: &str = "cloudflared_tunnel_total_requests";

/// The metric for the requests that are being answered, WebSockets included.
const CONCURRENT: &str = "cloudflared_tunnel_concurrent_requests_per_tunnel";

/// The traffic through a tunnel so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests since it was opened.
    pub total: u64,
    /// Requests that are being answered.
    pub concurrent: u64,
}

/// Whether the tunnel is connected to Cloudflare.
pub async fn is_ready(address: SocketAddr) -> bool {
    let answer = get(address, "/ready").await;
    answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
}

/// The traffic so far; `None` when `cloudflared` does not answer.
pub async fn traffic(address: SocketAddr) -> Option<Traffic> {
    let answer = get(address, "/metrics").await.ok()?;
    Some(parse(&String::from_utf8_lossy(answer.body())))
}

async fn get(address: SocketAddr, path: &str) -> io::Result<Response<Bytes>> {
    let request = Request::get(format!("http://{address}{path}")).body(());
    let request = request.map_err(io::Error::other)?;
    timeout(ANSWER_TIMEOUT, http1_client::send(request)).await?
}

/// Reads Prometheus' text format.
fn parse(text: &str) -> Traffic {
    Traffic {
        total: sum(text, TOTAL),
        concurrent: sum(text, CONCURRENT),
    }
}

/// The sum of all samples of a metric: `name 12` or `name{label="…"} 1.2e+01`.
fn sum(text: &str, metric: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_ascii_whitespace().next()?.parse::<f64>().ok()
    };
    text.lines().filter_map(value).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_with_and_without_labels() {
        let text = "\
# HELP cloudflared_tunnel_total_requests Amount of requests proxied through all the tunnels
# TYPE cloudflared_tunnel_total_requests counter
cloudflared_tunnel_total_requests 1.2e+01
cloudflared_tunnel_total_requests_other 99
cloudflared_tunnel_concurrent_requests_per_tunnel{connection_id=\"0\"} 1
cloudflared_tunnel_concurrent_requests_per_tunnel{connection_id=\"1\"} 2 1700000000
cloudflared_tunnel_request_errors 7
";
        assert_eq!(
            parse(text),
            Traffic {
                total: 12,
                concurrent: 3
            }
        );
        assert_eq!(parse("nothing of that"), Traffic::default());
    }
}
