//! The headers of a request and a response that pass the proxy.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use sandbox_protocol::error::ERROR_HEADER;
use sandbox_protocol::preview::VALIDITY_HEADER;
use sandbox_protocol::sandboxd;

/// Request headers of the Worker for `sandboxd`. No server of the sandbox may see the secret.
const OF_WORKER: [&str; 4] = [
    sandboxd::SECRET_HEADER,
    sandboxd::END_MARK_HEADER,
    sandboxd::TARGET_HEADER,
    VALIDITY_HEADER,
];

/// Whether a request asks for a WebSocket.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Changes the headers of a request into those for the server on `port`.
pub fn to_server(headers: &mut HeaderMap, port: u16) {
    let is_upgrade = is_websocket(headers);
    remove_of_connection(headers);
    for name in OF_WORKER {
        headers.remove(name);
    }
    if let Ok(host) = HeaderValue::try_from(format!("localhost:{port}")) {
        headers.insert(header::HOST, host);
    }
    if is_upgrade {
        set_upgrade(headers);
    }
}

/// Changes the headers of a server's response into those for the client.
pub fn to_client(headers: &mut HeaderMap, is_upgrade: bool) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // It is not that of the body (RFC 9112, section 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    remove_of_connection(headers);
    headers.remove(ERROR_HEADER);
    if is_upgrade {
        set_upgrade(headers);
    }
}

fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

fn remove_of_connection(headers: &mut HeaderMap) {
    let lists = headers.get_all(header::CONNECTION);
    let lists = lists.iter().filter_map(|list| list.to_str().ok());
    let listed: Vec<HeaderName> = lists
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in sandboxd::CONNECTION_HEADERS {
        headers.remove(name);
    }
    headers.remove(header::UPGRADE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |&(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_server_sees_its_own_host_and_nothing_of_the_connection_or_the_worker() {
        let mut request = headers(&[
            ("host", "127.0.0.1:28671"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("sandbox-secret", "s"),
            ("sandbox-upload-end-mark", "m"),
            ("sandbox-proxy-target", "/"),
            ("sandbox-exposure-validity", "5"),
            ("cookie", "a=b"),
            ("content-length", "5"),
        ]);
        to_server(&mut request, 80);
        let expected = headers(&[
            ("host", "localhost:80"),
            ("cookie", "a=b"),
            ("content-length", "5"),
        ]);
        assert_eq!(request, expected);
    }

    #[test]
    fn a_websocket_keeps_its_upgrade() {
        let mut request = headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "k"),
        ]);
        to_server(&mut request, 80);
        let upgraded = headers(&[
            ("host", "localhost:80"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "k"),
        ]);
        assert_eq!(request, upgraded);
        let mut response = headers(&[
            ("connection", "close"),
            ("sandbox-error", "port_error"),
            ("set-cookie", "a=b"),
        ]);
        to_client(&mut response, false);
        assert_eq!(response, headers(&[("set-cookie", "a=b")]));
        let mut response = headers(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        to_client(&mut response, false);
        assert!(response.is_empty(), "{response:?}");
    }
}
