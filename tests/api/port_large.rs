//! Large bodies through a port, and a side that does not read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use sandbar_tests::Sandbox;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::port::Server;
use crate::sandbox;

/// 1 GiB.
const LARGE: usize = 1 << 30;

/// The most bytes on their way between two sides of which one does not read: buffers of the kernel, of
/// proxies, and of each part of Sandbar.
const MAX_ON_THE_WAY: usize = 128 << 20;

/// The bytes that the server writes and compares with: 1 MiB of them, whose multiples they are.
fn block() -> Bytes {
    (0..=u8::MAX).cycle().take(1 << 20).collect::<Vec<_>>().into()
}

/// The memory of sandboxd, in bytes.
async fn memory(sandbox: &Sandbox) -> usize {
    let line = sandbox.sh("grep VmRSS /proc/1/status").await.text();
    let kib = line.split_ascii_whitespace().nth(1).expect("a line of VmRSS");
    kib.parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_gibibyte_passes_in_either_direction_in_little_memory() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let before = memory(&sandbox).await;
    let block = block();
    let response = server.get(&format!("/bytes?n={LARGE}")).await;
    assert_eq!(response.content_length(), Some(LARGE as u64));
    let (mut received, mut body) = (0, response.bytes_stream());
    while let Some(bytes) = body.next().await {
        let mut bytes = bytes.unwrap();
        while !bytes.is_empty() {
            let start = received % 256;
            let part = bytes.split_to(bytes.len().min(block.len() - start));
            assert!(
                part == block[start..start + part.len()],
                "other bytes at {received}"
            );
            received += part.len();
        }
    }
    assert_eq!(received, LARGE);
    for (is_chunked, size) in [(true, LARGE), (false, LARGE / 8)] {
        let blocks = std::iter::repeat_n(block.clone(), size / block.len()).map(Ok::<_, std::io::Error>);
        let mut request = server
            .request(Method::POST, "/compare")
            .body(reqwest::Body::wrap_stream(stream::iter(blocks)));
        if !is_chunked {
            request = request.header("Content-Length", size);
        }
        assert_eq!(
            server.seen(request).await,
            json!({ "size": size, "same": true, "chunked": is_chunked })
        );
    }
    let grown = memory(&sandbox).await.saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_server() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let response = server.get(&format!("/bytes?n={LARGE}")).await;
    let sent = async || -> usize { server.get("/sent").await.text().await.unwrap().parse().unwrap() };
    let mut before = sent().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = sent().await;
        if now == before {
            break;
        }
        assert!(Instant::now() < deadline, "{now} bytes, and more");
        before = now;
    }
    assert!(before < MAX_ON_THE_WAY, "{before} bytes");
    // It goes on where it was.
    let mut body = response.bytes_stream();
    let mut received = 0;
    while received < 4 * MAX_ON_THE_WAY {
        let bytes = timeout(Duration::from_secs(30), body.next()).await;
        received += bytes.expect("bytes in time").unwrap().unwrap().len();
    }
    drop(body);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_server_that_does_not_read_stops_the_client() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let (taken, mut taking) = tokio::sync::watch::channel(0_usize);
    let (block, size) = (block(), 2 * MAX_ON_THE_WAY);
    let blocks = stream::unfold((0, taken), {
        let block = block.clone();
        move |(sent, taken)| {
            let block = block.clone();
            async move {
                // Fails when the test has ended.
                let _ = taken.send(sent);
                (sent < size).then(|| {
                    (
                        Ok::<_, std::io::Error>(block.clone()),
                        (sent + block.len(), taken),
                    )
                })
            }
        }
    });
    let request = server
        .request(Method::POST, "/ignore")
        .body(reqwest::Body::wrap_stream(blocks));
    let answer = tokio::spawn(request.send());
    // Until nothing more is taken for a second.
    while timeout(Duration::from_secs(1), taking.changed())
        .await
        .is_ok_and(|changed| changed.is_ok())
    {}
    let waiting = *taking.borrow();
    assert!((1..MAX_ON_THE_WAY).contains(&waiting), "{waiting} bytes");
    assert!(!answer.is_finished());
    assert_eq!(sandbox.put("workspace/read", "").await.status(), 200);
    let answer = timeout(Duration::from_secs(60), answer).await;
    let answer = answer.expect("an answer in time").unwrap().unwrap();
    let seen: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(seen, json!({ "size": size, "same": true, "chunked": true }));
    sandbox.destroy().await;
}
