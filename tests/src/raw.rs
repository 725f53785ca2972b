//! Requests that no proper HTTP client would send: paths as they are, bodies that break off, and one
//! without a runtime.

use std::io::{self, Read as _, Write as _};
use std::net::ToSocketAddrs;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bridge::Bridge;

/// Sends a request over a connection of its own; gives status and body. Only for bridges without
/// TLS.
///
/// `head` is `METHOD PATH` and further header lines; host, key and `Connection: close` are added
/// where it has none.
pub async fn send(bridge: &Bridge, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(bridge, head, body).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let text = String::from_utf8_lossy(&response).into_owned();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    (
        status,
        text.split_once("\r\n\r\n")
            .map_or(String::new(), |(_, body)| body.to_owned()),
    )
}

/// Sends a request's beginning, as [`send`] does. Dropping the stream breaks it off.
pub async fn connect(bridge: &Bridge, head: &str, body: &[u8]) -> TcpStream {
    let authority = bridge.url.strip_prefix("http://").expect("a bridge without TLS");
    let mut stream = TcpStream::connect(authority).await.expect("a connection");
    let (first, headers) = head.split_once('\n').unwrap_or((head, ""));
    let mut lines = vec![format!("{first} HTTP/1.1")];
    lines.extend(headers.lines().map(|line| line.trim().to_owned()));
    let usual = [
        ("Host", authority.to_owned()),
        ("Authorization", format!("Bearer {}", bridge.key)),
        ("Connection", "close".to_owned()),
    ];
    for (name, value) in usual {
        if !headers.contains(&format!("{name}:")) {
            lines.push(format!("{name}: {value}"));
        }
    }
    let request = format!("{}\r\n\r\n", lines.join("\r\n"));
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request sent");
    stream.write_all(body).await.expect("a body sent");
    stream
}

/// Asks a server of this machine for `/health`, on the calling thread: whether the status is 200.
pub fn health(address: impl ToSocketAddrs) -> io::Result<bool> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.strip_prefix(b"HTTP/1.1 ") {
        Some(rest) => Ok(rest.starts_with(b"200")),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
