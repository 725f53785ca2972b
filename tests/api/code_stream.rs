//! Runs as streams: live, of any size, and resumed.

use reqwest::Method;
use sandbar_tests::sse::{Events, Item};
use serde_json::json;

use crate::sandbox;

/// The bytes of a large output.
const LARGE: usize = 100_000_000;

#[tokio::test]
async fn output_comes_while_it_is_written() {
    let sandbox = sandbox().await;
    // Each line waits until the client has seen the one before.
    let code = "import os, time\nfor i in range(3):\n    print(i)\n    while not os.path.exists(f'/tmp/seen{i}'): time.sleep(0.01)\n7";
    let (mut events, _) = sandbox.stream_code(&json!({ "code": code })).await;
    let mut seen = Vec::new();
    while let Some(item) = events.next().await {
        match item.unwrap() {
            Item::Output(false, bytes) => {
                let line = String::from_utf8(bytes).unwrap();
                let number = line.trim().to_owned();
                assert_eq!(sandbox.sh(&format!("touch /tmp/seen{number}")).await.code(), 0);
                seen.push(number);
            }
            Item::Result(result) => {
                assert_eq!((&result["text"], &result["isMain"]), (&json!("7"), &json!(true)));
                seen.push("result".to_owned());
            }
            Item::Exit(exit) => {
                assert_eq!(exit, json!({ "exit_code": 0, "execution_count": 1 }));
                seen.push("exit".to_owned());
            }
            Item::Comment => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["0", "1", "2", "result", "exit"]);
    sandbox.destroy().await;
}

#[tokio::test]
async fn large_outputs_come_through() {
    let sandbox = sandbox().await;
    for code in [
        format!("print('x' * {LARGE}, end='')"),
        format!("import os; os.system('head -c {LARGE} /dev/zero | tr \"\\\\0\" x');"),
    ] {
        let (events, _) = sandbox.stream_code(&json!({ "code": code })).await;
        let finished = events.finish().await;
        assert_eq!(
            (finished.code(), finished.missing),
            (0, 0),
            "{:?}",
            finished.exception
        );
        assert_eq!(finished.stdout.len(), LARGE, "{code}");
        assert!(finished.stdout.iter().all(|byte| *byte == b'x'));
    }
    // As JSON, the middle is left out.
    let run = sandbox.python(&format!("print('a' + 'x' * {LARGE} + 'b')")).await;
    let text = run["logs"]["stdout"][0].as_str().unwrap();
    assert!(
        run["truncated"] == true
            && text.len() <= 1024 * 1024
            && text.starts_with('a')
            && text.ends_with("b\n")
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_run_is_continued_by_the_same_request() {
    let sandbox = sandbox().await;
    let body = json!({
        "code": "import time\nfor i in range(4):\n    print(i, flush=True)\n    time.sleep(0.3)", "id": "r", "linger_ms": 60_000,
    });
    let (mut events, _) = sandbox.stream_code(&body).await;
    let mut text = String::new();
    while text.is_empty() {
        if let Item::Output(_, bytes) = events.next().await.unwrap().unwrap() {
            text += &String::from_utf8(bytes).unwrap();
        }
    }
    let last = events.last_id();
    drop(events);
    let request = sandbox.request(Method::POST, "/run-code").json(&body);
    let request = request
        .header("Accept", "text/event-stream")
        .header("Last-Event-ID", last);
    let response = request.send().await.unwrap();
    let finished = Events::after(last, response.bytes_stream()).finish().await;
    assert_eq!((finished.code(), finished.missing), (0, 0));
    assert_eq!(text + &finished.text(), "0\n1\n2\n3\n");
    // Anybody can follow it.
    let log = sandbox.process("r").log("").await.finish().await;
    assert_eq!(log.text(), "0\n1\n2\n3\n");
    sandbox.destroy().await;
}
