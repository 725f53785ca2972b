//! The standard streams of a process over a WebSocket.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use sandbar_tests::Process;
use sandbar_tests::process::ok;
use sandbar_tests::terminal::Terminal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{eventually, sandbox};

/// A WebSocket of `attach`; its frames are those of a terminal. `query` is empty or begins with `?`.
async fn connect(process: &Process, query: &str) -> Result<Terminal, tungstenite::Error> {
    let bridge = &process.sandbox.client.bridge;
    let url = format!(
        "{}/v1/sandbox/{}/process/{}/attach{query}",
        bridge.url.replacen("http", "ws", 1),
        process.sandbox.id,
        process.id
    );
    let mut request = url.into_client_request().expect("a URL");
    let key = format!("Bearer {}", bridge.key)
        .parse()
        .expect("a header's value");
    request.headers_mut().insert("authorization", key);
    Terminal::connect(request).await
}

async fn attach(process: &Process) -> Terminal {
    connect(process, "")
        .await
        .unwrap_or_else(|e| panic!("no WebSocket: {e}"))
}

/// Reads until a stream (1: standard output, 2: standard error) has had this output.
async fn wait_for(terminal: &mut Terminal, stream: u8, expected: &[u8]) {
    let mut output = Vec::new();
    while output != expected {
        match terminal.frame().await {
            Message::Binary(frame) => {
                assert_eq!(frame[0], stream, "{frame:?}");
                output.extend_from_slice(&frame[1..]);
            }
            frame => panic!("{frame:?} after {output:?}"),
        }
        assert!(expected.starts_with(&output), "{output:?}");
    }
}

/// Reads the text frame of the end, and the close.
async fn last(terminal: &mut Terminal) -> (Value, Option<u16>) {
    let message = terminal.message().await;
    let close = match terminal.frame().await {
        Message::Close(close) => close.map(|close| close.code.into()),
        frame => panic!("{frame:?} after {message}"),
    };
    (message, close)
}

const CLOSE_STDIN: &str = r#"{"type":"close_stdin"}"#;

#[tokio::test]
async fn what_is_sent_comes_back_through_cat() {
    let sandbox = sandbox().await;
    let process = sandbox
        .start(&json!({ "argv": ["cat"], "stdin_open": true }))
        .await;
    let mut terminal = attach(&process).await;
    for number in 0..100 {
        let line = format!("line {number}\n");
        terminal.send(line.clone()).await;
        wait_for(&mut terminal, 1, line.as_bytes()).await;
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    terminal.send(bytes.clone()).await;
    wait_for(&mut terminal, 1, &bytes).await;
    terminal.send_text(CLOSE_STDIN).await;
    let exit = json!({ "type": "exit", "exit_code": 0 });
    assert_eq!(last(&mut terminal).await, (exit, Some(1000)));
    sandbox.destroy().await;
}

#[tokio::test]
async fn both_outputs_are_told_apart_and_the_exit_is_last() {
    let sandbox = sandbox().await;
    let script = "read -r line; echo out; sleep 0.2; echo err >&2; sleep 0.2; kill -9 $$";
    let body = json!({ "argv": ["bash", "-c", script], "stdin_open": true });
    let process = sandbox.start(&body).await;
    let mut terminals = [attach(&process).await, attach(&process).await];
    terminals[0].send("\n").await;
    for terminal in &mut terminals {
        wait_for(terminal, 1, b"out\n").await;
        wait_for(terminal, 2, b"err\n").await;
        let exit = json!({ "type": "exit", "exit_code": 137, "signal": "SIGKILL" });
        assert_eq!(last(terminal).await, (exit, Some(1000)));
    }
    // A client that comes later gets what it has missed.
    let mut late = connect(&process, "?since=1").await.unwrap();
    wait_for(&mut late, 2, b"err\n").await;
    assert_eq!(last(&mut late).await.0["type"], "exit");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_nothing_and_another_continues() {
    let sandbox = sandbox().await;
    let process = sandbox
        .start(&json!({ "argv": ["cat"], "stdin_open": true }))
        .await;
    let mut first = attach(&process).await;
    first.send("one\n").await;
    wait_for(&mut first, 1, b"one\n").await;
    drop(first);
    let mut second = attach(&process).await;
    wait_for(&mut second, 1, b"one\n").await;
    second.send("two\n").await;
    wait_for(&mut second, 1, b"two\n").await;
    second.socket.close(None).await.unwrap();
    while second.socket.next().await.is_some() {}
    assert_eq!(process.show().await["state"], "running");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_process_reads_nothing_lets_another_write() {
    let sandbox = sandbox().await;
    // A pipe holds less where the kernel's limit for the pipes of a user is reached.
    let script = r#"
        $| = 1;
        $capacity = fcntl(STDIN, 1032, 0); # F_GETPIPE_SZ
        do {
            select(undef, undef, undef, 0.02);
            ioctl(STDIN, 0x541B, $unread = pack("i", 0)); # FIONREAD
        } until unpack("i", $unread) == $capacity;
        print "$capacity\n";
        sleep 60;
    "#;
    let body = json!({ "argv": ["perl", "-e", script], "stdin_open": true });
    let process = sandbox.start(&body).await;
    let mut terminal = attach(&process).await;
    terminal.send("x".repeat(1 << 20)).await;
    let full = json!({ "for": "log", "pattern": r"\d+\n", "timeout_ms": 60_000 });
    let full = process.wait(&full).await;
    let capacity: u64 = full["match"].as_str().unwrap().trim().parse().unwrap();
    drop(terminal);
    let left = Instant::now();
    let closed = ok(process.stdin("", None, "?close=true").await).await;
    assert_eq!(closed["offset"], capacity);
    // Not only at the end of the connection's timeouts.
    assert!(left.elapsed() < Duration::from_secs(20), "{:?}", left.elapsed());
    process.end().await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn frames_of_the_wrong_kind_are_answered_and_change_nothing() {
    let sandbox = sandbox().await;
    let process = sandbox
        .start(&json!({ "argv": ["cat"], "stdin_open": true }))
        .await;
    let mut terminal = attach(&process).await;
    for text in [
        "",
        "close_stdin",
        "{",
        "[]",
        "7",
        r#"{"type":"resize","cols":1}"#,
        r#"{"type":7}"#,
    ] {
        terminal.send_text(text).await;
        let answer = terminal.message().await;
        assert_eq!(answer["type"], "error", "{text}: {answer}");
        assert!(
            answer["message"].as_str().is_some_and(|text| !text.is_empty()),
            "{answer}"
        );
    }
    let ping = Message::Ping(b"ping".as_slice().into());
    terminal.socket.send(ping).await.unwrap();
    terminal.send("").await;
    terminal.send("still there\n").await;
    wait_for(&mut terminal, 1, b"still there\n").await;
    terminal.send_text(CLOSE_STDIN).await;
    assert_eq!(last(&mut terminal).await.0["exit_code"], 0);

    // Input after the end of the standard input is an error, too.
    let process = sandbox.start(&json!({ "argv": ["sleep", "60"] })).await;
    let mut terminal = attach(&process).await;
    terminal.send("x").await;
    assert_eq!(terminal.message().await["type"], "error");
    terminal.send_text(CLOSE_STDIN).await;
    // One that is too large ends the connection, and nothing else.
    let _ = terminal
        .socket
        .send(Message::Binary(vec![b'x'; 8 << 20].into()))
        .await;
    eventually("the connection ends", || async {
        process.show().await["state"] == "running"
    })
    .await;
    let ended = terminal.finish().await;
    assert_ne!(ended.close, Some(1000), "{ended:?}");
    assert_eq!(process.show().await["state"], "running");
    sandbox.destroy().await;
}

#[tokio::test]
async fn without_a_process_or_an_upgrade_there_is_no_websocket() {
    let sandbox = sandbox().await;
    let process = sandbox.start(&json!({ "argv": ["sleep", "60"] })).await;
    for (id, status) in [("missing", 404), ("a..b", 400)] {
        match connect(&sandbox.process(id), "").await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), status, "{id}"),
            Err(e) => panic!("{id}: {e}"),
            Ok(_) => panic!("{id}: a WebSocket"),
        }
    }
    let plain = process
        .request(reqwest::Method::GET, "/attach")
        .send()
        .await
        .unwrap();
    sandbar_tests::client::assert_error(plain, 400, "invalid_request").await;
    sandbox.destroy().await;
}
