//! Waits until a server is ready.

use std::time::Duration;

use sandbox_protocol::port::HttpCheck;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{sleep, timeout};

use super::connect;

/// The time between two looks at a port. It grows from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// The time that an HTTP server has for its answer, before it is asked again.
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes that are read of the line with the status.
const MAX_STATUS_LINE: u64 = 1024;

/// Looks again and again whether the port is listened on, and whether the HTTP server there gives
/// the answer. Returns the status of that answer, if one was wanted.
pub async fn until_ready<F: Future<Output = bool>>(
    port: u16,
    http: &HttpCheck,
    is_listening: impl Fn() -> F,
) -> Option<u16> {
    let (mut interval, longest) = BACKOFF;
    loop {
        if is_listening().await {
            let Some(path) = &http.path else {
                return None;
            };
            let status = timeout(HTTP_TIMEOUT, http_status(port, path)).await;
            let is_expected = |status: &u16| match http.status {
                Some(expected) => *status == expected,
                None => (200..400).contains(status),
            };
            if let Some(status) = status.ok().flatten().filter(is_expected) {
                return Some(status);
            }
        }
        sleep(interval).await;
        interval = (interval * 2).min(longest);
    }
}

/// The status of the answer to `GET` of this path; `None` when there is none.
async fn http_status(port: u16, path: &str) -> Option<u16> {
    let mut connection = connect(port).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut line = Vec::new();
    let mut connection = BufReader::new(connection.take(MAX_STATUS_LINE));
    connection.read_until(b'\n', &mut line).await.ok()?;
    let line = std::str::from_utf8(&line).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}
