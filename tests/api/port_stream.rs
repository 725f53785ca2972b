//! Bodies to and from the servers of a sandbox: while they are written, large ones, and those that
//! break off.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::raw;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::port::Server;
use crate::{eventually, sandbox};

/// The timeout for anything that should happen.
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn events_arrive_while_they_are_written() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let response = server.get("/events").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.bytes_stream();
    let first = timeout(TIMEOUT, body.next()).await.expect("an event in time");
    assert_eq!(first.unwrap().unwrap(), "data: first\n\n");
    assert_eq!(sandbox.put("workspace/go", "").await.status(), 200);
    let mut rest = Vec::new();
    while let Some(bytes) = timeout(TIMEOUT, body.next()).await.expect("the end in time") {
        rest.extend_from_slice(&bytes.unwrap());
    }
    assert_eq!(rest, b"data: second\n\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_server_answers_each_piece_of_a_body_before_the_next_is_sent() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let (pieces, waiting) = mpsc::channel::<Bytes>(1);
    let body = stream::unfold(waiting, async |mut waiting| {
        let piece = waiting.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), waiting))
    });
    let request = server
        .request(Method::POST, "/duplex")
        .body(reqwest::Body::wrap_stream(body));
    let response = request.send();
    pieces.send(Bytes::from_static(b"piece 0\n")).await.unwrap();
    let response = timeout(TIMEOUT, response)
        .await
        .expect("a response in time")
        .unwrap();
    let mut body = response.bytes_stream();
    for number in 0..20 {
        let answer = timeout(TIMEOUT, body.next()).await.expect("a piece in time");
        assert_eq!(answer.unwrap().unwrap(), format!("PIECE {number}\n"));
        let next = format!("piece {}\n", number + 1);
        pieces.send(next.into()).await.unwrap();
    }
    drop(pieces);
    assert_eq!(body.next().await.unwrap().unwrap(), "PIECE 20\n");
    assert!(body.next().await.is_none());
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_at_the_other_end() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    for target in ["/cut", "/cut_chunked"] {
        // A proxy before the Worker may see the end before it has sent the headers.
        let Ok(response) = server.request(Method::GET, target).send().await else {
            continue;
        };
        let mut body = response.bytes_stream();
        let mut received = 0;
        let end = loop {
            match body.next().await {
                Some(Ok(bytes)) => received += bytes.len(),
                Some(Err(_)) => break "broken",
                None => break "whole",
            }
        };
        assert_eq!((received <= 10, end), (true, "broken"), "{target}");
    }
    let text = assert_error(server.get("/nothing").await, 502, "port_error").await;
    assert!(text.contains(&server.port.to_string()), "{text}");
    let bridge = &sandbox.client.bridge;
    if bridge.url.starts_with("http://") {
        let head = format!(
            "POST /v1/sandbox/{}/port/{}/compare\nTransfer-Encoding: chunked",
            sandbox.id, server.port
        );
        let half = raw::connect(bridge, &head, b"5\r\nbegin\r\n").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(half);
        eventually("the server sees that the body broke off", || async {
            sandbox.get("workspace/broken-compare").await.status() == 200
        })
        .await;
        assert_eq!(sandbox.get("workspace/compared").await.status(), 404);
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_connection_to_the_server() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let mut body = server.get("/endless").await.bytes_stream();
    assert!(body.next().await.unwrap().is_ok());
    drop(body);
    eventually("the server notices", || async {
        sandbox.get("workspace/broken-endless").await.status() == 200
    })
    .await;
    sandbox.destroy().await;
}
