//! HTTP of the servers of a sandbox, as their clients rely on it: conditions, ranges, redirects,
//! encodings, `Expect`, and answers that are not as they should be.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use reqwest::redirect::Policy;
use reqwest::{Method, Response};
use sandbar_tests::client::assert_error;
use sandbar_tests::{Sandbox, raw};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::port::Server;
use crate::sandbox;

/// The timeout for anything that should happen.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server, and its sandbox.
async fn server() -> (Sandbox, Server) {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    (sandbox, server)
}

/// Sends `GET` or `HEAD` with headers, and follows no redirect.
async fn ask(server: &Server, method: Method, target: &str, headers: &[(&str, &str)]) -> Response {
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let mut request = server.request(method, target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.execute(request.build().unwrap()).await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn conditions_ranges_and_redirects_are_the_server_s() {
    let (sandbox, server) = server().await;
    let get = async |headers: &[(&str, &str)]| ask(&server, Method::GET, "/page", headers).await;
    let unchanged = get(&[("If-None-Match", "\"e\"")]).await;
    assert_eq!(unchanged.status(), 304);
    assert_eq!(header(&unchanged, "etag"), Some("\"e\""));
    assert_eq!(header(&unchanged, "cache-control"), Some("max-age=5"));
    assert_eq!(unchanged.bytes().await.unwrap().len(), 0);
    let part = get(&[("Range", "bytes=2-5")]).await;
    assert_eq!(part.status(), 206);
    assert_eq!(header(&part, "content-range"), Some("bytes 2-5/10"));
    assert_eq!(header(&part, "content-length"), Some("4"));
    assert_eq!(part.text().await.unwrap(), "2345");
    let none = get(&[("Range", "bytes=20-25")]).await;
    assert_eq!(
        (none.status().as_u16(), header(&none, "content-range")),
        (416, Some("bytes */10"))
    );
    let head = ask(&server, Method::HEAD, "/page", &[]).await;
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length")),
        (200, Some("10"))
    );
    assert_eq!(header(&head, "accept-ranges"), Some("bytes"));
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    for status in [301, 302, 303, 307, 308] {
        let location = "../b%2Fc?d=e#f";
        let target = format!("/redirect/{status}/{}", URL_SAFE.encode(location));
        let moved = ask(&server, Method::GET, &target, &[]).await;
        assert_eq!(
            (moved.status().as_u16(), header(&moved, "location")),
            (status, Some(location))
        );
        assert_eq!(moved.text().await.unwrap(), "moved");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_encoded_body_passes_unchanged_whatever_its_coding_and_the_client_accepts() {
    let (sandbox, server) = server().await;
    let plain: Vec<u8> = (0..=u8::MAX).cycle().take(40_000).collect();
    // The last ones are none: a proxy that decoded them would fail.
    for coding in ["gzip", "br", "zstd", "x-own"] {
        let mut sent = None;
        for target in ["/encoded", "/encoded/chunked"] {
            let target = format!("{target}?coding={coding}");
            for accepted in ["", "identity", "gzip, br", "*;q=0"] {
                let accepted = [("Accept-Encoding", accepted)];
                let accepted = if accepted[0].1.is_empty() {
                    &[][..]
                } else {
                    &accepted[..]
                };
                let response = ask(&server, Method::GET, &target, accepted).await;
                assert_eq!(
                    header(&response, "content-encoding"),
                    Some(coding),
                    "{target} {accepted:?}"
                );
                let length = header(&response, "content-length").map(str::to_owned);
                let bytes = response.bytes().await.unwrap();
                assert!(
                    length.is_none_or(|length| length == bytes.len().to_string()),
                    "{target}"
                );
                assert_eq!(
                    sent.get_or_insert_with(|| bytes.clone()),
                    &bytes,
                    "{target} {accepted:?}"
                );
            }
        }
        let sent = sent.unwrap();
        if coding == "gzip" {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&sent[..]), &mut text).unwrap();
            assert_eq!(text.len(), 40_000);
        } else {
            assert_eq!(sent, plain, "{coding}");
        }
        let upload = server
            .request(Method::POST, "/compare")
            .header("Content-Encoding", coding);
        assert_eq!(
            server.seen(upload.body(plain.clone())).await,
            json!({ "size": 40_000, "same": true, "chunked": false })
        );
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_and_then_the_answer() {
    let (sandbox, server) = server().await;
    let bridge = &sandbox.client.bridge;
    if !bridge.url.starts_with("http://") {
        return;
    }
    let head = format!(
        "POST /v1/sandbox/{}/port/{}/x\nExpect: 100-continue\nContent-Length: 4",
        sandbox.id, server.port
    );
    let mut stream = raw::connect(bridge, &head, b"").await;
    let mut first = [0; 21];
    let read = timeout(TIMEOUT, stream.read_exact(&mut first)).await;
    read.expect("100 in time").unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue");
    stream.write_all(b"body").await.unwrap();
    let mut rest = String::new();
    let read = timeout(TIMEOUT, stream.read_to_string(&mut rest)).await;
    read.expect("an answer in time").unwrap();
    assert!(rest.contains("HTTP/1.1 200 OK"), "{rest}");
    assert!(rest.contains(r#""body": "body""#), "{rest}");
    assert!(!rest.contains("expect"), "{rest}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_has_closed_its_side_still_gets_the_answer() {
    let (sandbox, server) = server().await;
    let bridge = &sandbox.client.bridge;
    if !bridge.url.starts_with("http://") {
        return;
    }
    let head = format!(
        "POST /v1/sandbox/{}/port/{}/x\nContent-Length: 4",
        sandbox.id, server.port
    );
    let mut stream = raw::connect(bridge, &head, b"half").await;
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let read = timeout(TIMEOUT, stream.read_to_string(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    assert!(answer.contains(r#""body": "half""#), "{answer}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_502_and_an_odd_one_is_mended() {
    let (sandbox, server) = server().await;
    let raw = async |answer: &[u8]| {
        let target = format!("/raw/{}", URL_SAFE.encode(answer));
        ask(&server, Method::GET, &target, &[]).await
    };
    for answer in [
        &b""[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: own\r\n\r\nhello",
    ] {
        let text = assert_error(raw(answer).await, 502, "port_error").await;
        assert!(text.contains(&server.port.to_string()), "{text}");
    }
    for target in ["/long?n=1000000", "/many?n=1000"] {
        assert_error(server.get(target).await, 502, "port_error").await;
    }
    for (answer, status, body) in [
        (&b"HTTP/1.0 200 OK\r\n\r\nuntil the end"[..], 200, "until the end"),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
            404,
            "no",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\nX-Trailer: 1\r\n\r\n",
            200,
            "whole",
        ),
        // The rest after an answer is not another one.
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo",
            200,
            "one",
        ),
    ] {
        let response = raw(answer).await;
        assert_eq!(response.status(), status, "{body}");
        assert_eq!(response.text().await.unwrap(), body);
    }
    assert_eq!(server.get("/x").await.status(), 200);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_server_that_refuses_a_large_body_before_it_reads_it_is_heard() {
    let (sandbox, server) = server().await;
    for is_chunked in [false, true] {
        let body = vec![0; 8 << 20];
        let mut request = server.request(Method::POST, "/refuse");
        request = if is_chunked {
            let blocks = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
            request.body(reqwest::Body::wrap_stream(blocks))
        } else {
            request.body(body)
        };
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "x-reason")),
            (403, Some("no"))
        );
        assert_eq!(response.text().await.unwrap(), "refused");
    }
    sandbox.destroy().await;
}
