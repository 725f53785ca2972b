//! Requests that are made to reach something else than the port, or to be read in two ways. They are
//! sent to the bridge's socket as they stand here.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use sandbar_tests::Sandbox;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::port::Server;
use crate::sandbox;

/// How long an answer may take; a request that nobody understands gets none.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The silence that ends an answer: the connection may stay open for another request.
const SILENCE: Duration = Duration::from_millis(500);

/// A request that no server may see.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A server that can be reached by raw requests. `None`: the bridge has TLS.
async fn server() -> Option<(Sandbox, Server)> {
    let sandbox = sandbox().await;
    if !sandbox.client.bridge.url.starts_with("http://") {
        return None;
    }
    let server = Server::start(&sandbox, "127.0.0.1").await;
    Some((sandbox, server))
}

impl Server {
    /// Sends a request whose target begins behind the port, with these header lines, each with its
    /// end; gives all that comes back. Host and key are added to it.
    async fn raw(&self, method: &str, target: &str, headers: &str, body: &str) -> String {
        let bridge = &self.sandbox.client.bridge;
        let authority = bridge.url.strip_prefix("http://").expect("a bridge without TLS");
        let path = format!("/v1/sandbox/{}/port/{}{target}", self.sandbox.id, self.port);
        let usual = format!("Host: {authority}\r\nAuthorization: Bearer {}\r\n", bridge.key);
        let request = format!("{method} {path} HTTP/1.1\r\n{usual}{headers}\r\n{body}");
        let mut stream = TcpStream::connect(authority).await.expect("a connection");
        let mut answer = Vec::new();
        // Fails when it is closed before all is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        loop {
            let limit = if answer.is_empty() { TIMEOUT } else { SILENCE };
            match timeout(limit, stream.read_buf(&mut answer)).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asserts that the server has not seen the hidden request, and that each of some requests over
    /// the connections that are left gets its own answer.
    async fn assert_nothing_smuggled(&self) {
        let own = (0..20).map(async |number| {
            let target = format!("/own/{number}");
            let seen = self.seen(self.request(Method::GET, &target)).await;
            assert_eq!(seen["target"], target);
        });
        join_all(own).await;
        let seen = self.requests().await;
        assert!(seen.contains("/own/19") && !seen.contains("smuggled"), "{seen}");
    }

    /// The requests that the server has seen.
    async fn requests(&self) -> String {
        self.sandbox.sh("cat requests 2>/dev/null || true").await.text()
    }
}

fn status(answer: &str) -> Option<&str> {
    answer.split(' ').nth(1)
}

#[tokio::test]
async fn a_request_whose_length_is_told_in_two_ways_is_one_request_or_none() {
    let Some((sandbox, server)) = server().await else {
        return;
    };
    // `|` divides the lines, and `N` is the length of all that follows the head.
    let hidden = [
        "Content-Length: N|Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked|Content-Length: N",
        "Content-Length: 5|Transfer-Encoding: chunked",
        // Codings that one side knows and the other does not.
        "Content-Length: N|Transfer-Encoding: xchunked",
        "Content-Length: N|Transfer-Encoding: identity",
        "Content-Length: N|Transfer-Encoding: chunked, identity",
        "Content-Length: N|Transfer-Encoding: \u{b}chunked",
        "Content-Length: N|Transfer-Encoding : chunked",
        "Content-Length: N|Transfer_Encoding: chunked",
        "Content-Length: N|X-A: b\rTransfer-Encoding: chunked",
        "Transfer-Encoding: identity|Transfer-Encoding: chunked|Content-Length: N",
        // Two lengths, and ones that are no numbers.
        "Content-Length: 5|Content-Length: N",
        "Content-Length: N|Content-Length: 5",
        "Content-Length: 5, N",
        "Content-Length: +5",
        "Content-Length: 0x5",
    ];
    let body = format!("0\r\n\r\n{HIDDEN}");
    let hidden = hidden.map(|lines| (lines.replace('N', &body.len().to_string()), body.as_str()));
    // Headers that carry the end of a body and the target from the Worker to sandboxd.
    let of_worker = [
        (
            "Transfer-Encoding: chunked|Sandbox-Upload-End-Mark: x",
            "1\r\nx\r\n0\r\n\r\n",
        ),
        ("Content-Length: 1|Sandbox-Proxy-Target: /smuggled", "x"),
        ("Content-Length: 1|Connection: close, sandbox-proxy-target", "x"),
        ("Content-Length: 1|Connection: close, content-length, host", "x"),
    ];
    let of_worker = of_worker.map(|(lines, body)| (lines.to_owned(), body));
    let attempts = hidden.into_iter().chain(of_worker);
    let server = &server;
    let attempts = attempts.map(async |(lines, body)| {
        let headers = format!("{}\r\n", lines.replace('|', "\r\n"));
        server.raw("POST", "/one", &headers, body).await;
    });
    join_all(attempts).await;
    // Some are proper requests.
    assert!(server.requests().await.contains("POST /one"));
    server.assert_nothing_smuggled().await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn lines_and_chunks_that_end_oddly_hide_no_request() {
    let Some((sandbox, server)) = server().await else {
        return;
    };
    let hidden = format!("5\nwhole\n0\n\n{HIDDEN}");
    let chunks = [
        hidden.clone(),
        format!("5;a=b\nx\r\nwhole\r\n0\r\n\r\n{HIDDEN}"),
        format!("5\r\nwhole0\r\n\r\n{HIDDEN}"),
        format!("05\r\nwhole\r\n0\r\n{HIDDEN}"),
        format!("-1\r\nwhole\r\n0\r\n\r\n{HIDDEN}"),
        format!("FFFFFFFFFFFFFFFFF\r\nwhole\r\n0\r\n\r\n{HIDDEN}"),
    ];
    let lines = [
        "X-A: b\r\n GET /smuggled HTTP/1.1",
        "X-A: b\0c",
        "X-A: b\rGET /smuggled HTTP/1.1",
        "X-A\tb: c",
        ": c",
        "no header",
    ];
    let server = &server;
    let lines = lines.iter().map(async |line| {
        server.raw("GET", "/lines", &format!("{line}\r\n"), "").await;
    });
    let chunks = chunks.iter().map(async |body| {
        let coding = "Transfer-Encoding: chunked\r\n";
        server.raw("POST", "/chunks", coding, body).await;
    });
    tokio::join!(join_all(lines), join_all(chunks));
    server.assert_nothing_smuggled().await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_path_with_dots_is_the_server_s_and_leads_nowhere_else() {
    let Some((sandbox, server)) = server().await else {
        return;
    };
    let dots = [
        "..", "%2e%2e", ".%2E", "%2e.", "..%2f..", "..%5c..", "x/../..", "..;", "...", ".",
    ];
    let rests = ["exec", "port", "../../v1/sandbox", "file/workspace/server.py"];
    let targets: Vec<_> = dots
        .iter()
        .flat_map(|dots| rests.map(|rest| format!("/{dots}/{dots}/{rest}")))
        .collect();
    let requests = targets.iter().map(|target| server.raw("GET", target, "", ""));
    join_all(requests).await;
    let seen = server.requests().await;
    // A proxy before the Worker may resolve dots: then the request is another one, of the client's own
    // sandbox and key, and no server sees it.
    if sandbox.client.bridge.is_local {
        let seen: BTreeSet<_> = seen.lines().map(str::to_owned).collect();
        let expected = targets.iter().map(|target| format!("GET {target} HTTP/1.1"));
        assert_eq!(seen, expected.collect());
    }
    assert!(!seen.contains(" /v1"), "{seen}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_and_a_host_that_is_none_are_refused_at_once() {
    let Some((sandbox, server)) = server().await else {
        return;
    };
    for size in [100_000, 1_000_000] {
        let cookies = format!("Cookie: {}\r\n", "a=b; ".repeat(size / 5));
        let answer = server.raw("GET", "/cookies", &cookies, "").await;
        // The answer can get lost when the connection is closed while the client is sending.
        let is_lost = answer.is_empty() && size > 100_000;
        assert!(is_lost || status(&answer) == Some("431"), "{size}: {answer}");
    }
    let lines: String = (0..150).map(|number| format!("X-{number}: 1\r\n")).collect();
    let answer = server.raw("GET", "/lines", &lines, "").await;
    assert_eq!(status(&answer), Some("431"), "{answer}");
    let seen = server.requests().await;
    assert_eq!(seen, "");
    assert_eq!(server.get("/x").await.status(), 200);
    let answer = server.raw("GET", "/hosts", "Host: evil.example\r\n", "").await;
    assert_eq!(status(&answer), Some("400"), "{answer}");
    sandbox.destroy().await;
}
