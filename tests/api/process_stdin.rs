//! The standard input of processes.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::file::sha256;
use sandbar_tests::process::ok;
use sandbar_tests::{Process, raw};
use serde_json::{Value, json};

use crate::{bridge, sandbox};

/// A process that reads its standard input.
fn reading(argv: &[&str]) -> Value {
    json!({ "argv": argv, "stdin_open": true })
}

/// Sends the first part of `bytes` and breaks the connection off.
async fn cut(process: &Process, bytes: &[u8], offset: usize) {
    let head = format!(
        "POST /v1/sandbox/{}/process/{}/stdin?close=true\nContent-Length: {}\nStdin-Offset: {offset}",
        process.sandbox.id,
        process.id,
        bytes.len()
    );
    let connection = raw::connect(bridge(), &head, &bytes[..bytes.len() / 2]).await;
    // Some of it is on its way.
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(connection);
}

#[tokio::test]
async fn every_byte_is_written_once_although_connections_break() {
    const PIECE: usize = 1 << 20;
    if bridge().url.starts_with("https") {
        eprintln!("skipped: connections are broken off without TLS");
        return;
    }
    let sandbox = sandbox().await;
    let process = sandbox.start(&reading(&["sha256sum"])).await;
    let input: Vec<u8> = (0..64 * PIECE as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect();
    let mut offset = 0;
    let mut refused = 0;
    for number in 0.. {
        let rest = &input[offset..];
        if rest.is_empty() {
            break;
        }
        let piece = &rest[..PIECE.min(rest.len())];
        if number % 5 == 4 {
            cut(&process, piece, offset).await;
        }
        let answer = process.stdin(piece.to_vec(), Some(offset as u64), "").await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}"));
        if status == 409 {
            // A part of it had arrived over the connection that broke.
            assert_eq!(body["code"], "stdin_offset", "{body}");
            refused += 1;
        } else {
            assert_eq!(status, 200, "{body}");
            assert_eq!(body["offset"], offset + piece.len());
        }
        let next = body["offset"].as_u64().expect("the right offset") as usize;
        assert!((offset..=offset + piece.len()).contains(&next), "{next}");
        if number % 3 == 2 && next > offset {
            let again = process.stdin(piece.to_vec(), Some(offset as u64), "").await;
            assert_eq!(again.status(), 409);
            let body: Value = again.json().await.unwrap();
            assert_eq!(
                (&body["code"], &body["offset"]),
                (&json!("stdin_offset"), &json!(next))
            );
        }
        offset = next;
    }
    let closed = process.stdin("", Some(offset as u64), "?close=true").await;
    assert_eq!(ok(closed).await, json!({ "offset": input.len() }));
    process.exit().await;
    let digest = sha256(&input);
    let output = String::from_utf8(process.text("").await).unwrap();
    assert_eq!(
        output.split(' ').next(),
        Some(digest.as_str()),
        "{refused} were refused"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_process_that_reads_nothing_makes_the_client_wait() {
    let sandbox = sandbox().await;
    let process = sandbox.start(&reading(&["sleep", "60"])).await;
    let waiting = tokio::spawn({
        let process = process.clone();
        async move { process.stdin(vec![b'x'; 8 << 20], Some(0), "").await }
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!waiting.is_finished(), "nobody has read 8 MiB");
    // It can be asked for, and ends when it is to.
    let started = Instant::now();
    assert_eq!(process.show().await["state"], "running");
    assert_eq!(process.signal("SIGTERM").await.status(), 204);
    assert_eq!(process.exit().await["signal"], "SIGTERM");
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_error(waiting.await.unwrap(), 409, "stdin_closed").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_waits_goes_on_when_the_process_reads() {
    let sandbox = sandbox().await;
    let script = "until [ -e go ]; do sleep 0.02; done; wc -c";
    let process = sandbox.start(&reading(&["sh", "-c", script])).await;
    let waiting = tokio::spawn({
        let process = process.clone();
        async move { process.stdin(vec![b'x'; 4 << 20], None, "?close=true").await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    sandbox.put("workspace/go", "").await;
    assert_eq!(ok(waiting.await.unwrap()).await, json!({ "offset": 4 << 20 }));
    process.exit().await;
    assert_eq!(process.text("").await, b"4194304\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_standard_input_closes_once() {
    let sandbox = sandbox().await;
    let body = json!({ "argv": ["cat"], "stdin": "first\n", "stdin_open": true });
    let process = sandbox.start(&body).await;
    assert_eq!(
        ok(process.stdin("second\n", Some(6), "").await).await,
        json!({ "offset": 13 })
    );
    let wrong = process.stdin("second\n", Some(6), "").await;
    assert_eq!(wrong.status(), 409);
    let body: Value = wrong.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["offset"]),
        (&json!("stdin_offset"), &json!(13))
    );
    for offset in [0, 12, 14, u64::MAX] {
        assert_eq!(
            process.stdin("x", Some(offset), "").await.status(),
            409,
            "{offset}"
        );
    }
    assert_eq!(
        ok(process.stdin("third\n", None, "?close=true").await).await,
        json!({ "offset": 19 })
    );
    assert_eq!(process.exit().await, json!({ "exit_code": 0 }));
    assert_eq!(process.text("").await, b"first\nsecond\nthird\n");
    for offset in [None, Some(19), Some(0)] {
        assert_error(process.stdin("x", offset, "").await, 409, "stdin_closed").await;
    }
    // Without `stdin_open` there is none.
    let without = sandbox.start(&json!({ "argv": ["sleep", "60"] })).await;
    assert_error(without.stdin("x", None, "").await, 409, "stdin_closed").await;
    let missing = sandbox.process("missing").stdin("x", None, "").await;
    assert_error(missing, 404, "process_not_found").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_piece_after_one_that_was_repeated_is_written() {
    let sandbox = sandbox().await;
    // It reads slowly, so that writers meet.
    let script = "while IFS= read -r line; do sleep 0.01; done; echo end";
    let process = sandbox.start(&reading(&["bash", "-c", script])).await;
    let line = format!("{}\n", "x".repeat(9_999));
    let piece = line.repeat(20);
    let mut offset = 0_u64;
    for _ in 0..5 {
        // The same piece twice at the same moment: the first makes room for the second if it still
        // waits for its client, so both may be refused.
        let both = futures_util::future::join(
            process.stdin(piece.clone(), Some(offset), ""),
            process.stdin(piece.clone(), Some(offset), ""),
        );
        let (one, other) = both.await;
        let mut offsets = [0, 0];
        for (response, next) in [one, other].into_iter().zip(&mut offsets) {
            let is_refused = response.status() == 409;
            let body: Value = response.json().await.unwrap();
            assert_eq!(
                body.get("code"),
                is_refused.then_some(&json!("stdin_offset")),
                "{body}"
            );
            *next = body["offset"].as_u64().unwrap();
            assert!(is_refused || *next == offset + piece.len() as u64, "{body}");
        }
        offset = offsets[0].max(offsets[1]);
        let next = process.stdin(line.clone(), Some(offset), "").await;
        offset += line.len() as u64;
        assert_eq!(
            ok(next).await,
            json!({ "offset": offset }),
            "the right offset is accepted"
        );
    }
    assert_eq!(
        ok(process.stdin("", Some(offset), "?close=true").await).await,
        json!({ "offset": offset })
    );
    process.exit().await;
    assert_eq!(process.text("").await, b"end\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_body_of_unknown_length_is_written_whole() {
    let sandbox = sandbox().await;
    let process = sandbox.start(&reading(&["wc", "-c"])).await;
    let blocks = (0..100).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10_000]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(blocks));
    let request = process.request(Method::POST, "/stdin?close=true").body(body);
    assert_eq!(
        ok(request.send().await.unwrap()).await,
        json!({ "offset": 1_000_000 })
    );
    process.exit().await;
    assert_eq!(process.text("").await, b"1000000\n");
    sandbox.destroy().await;
}
