//! The tools that run commands and code.

use serde_json::{Value, json};

use crate::mcp::{result, text, tool};
use crate::{eventually, sandbox};

#[tokio::test]
async fn a_command_that_takes_longer_continues_as_a_process() {
    let sandbox = sandbox().await;
    let script = "echo one; until [ -e go ]; do sleep 0.05; done; echo two; exit 4";
    let started = text(&sandbox, "run", json!({ "command": script, "wait_ms": 500 })).await;
    let (output, state) = started.split_once('\n').unwrap();
    assert_eq!(output, "one");
    let next = state
        .strip_prefix("[still running: process_output ")
        .and_then(|rest| rest.strip_suffix(" has what follows]"));
    let mut next: Value = serde_json::from_str(next.unwrap()).unwrap();
    let listed = text(&sandbox, "process_output", json!({})).await;
    assert!(
        listed.contains(next["process"].as_str().unwrap()) && listed.contains("running"),
        "{listed}"
    );
    text(&sandbox, "write", json!({ "path": "go", "content": "" })).await;
    next["wait_ms"] = 60_000.into();
    assert_eq!(text(&sandbox, "process_output", next).await, "two\n[exit code 4]");
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_command_continues_when_the_client_leaves() {
    let sandbox = sandbox().await;
    text(&sandbox, "run", json!({ "command": "true" })).await;
    let params = json!({ "name": "run", "arguments": { "command": "touch begun; sleep 1; touch done" } });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let leaving = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { sandbox.post("/mcp", &message).await }
    });
    eventually("it begins", || async {
        sandbox.get("workspace/begun").await.status() == 200
    })
    .await;
    leaving.abort();
    eventually("it ends", || async {
        sandbox.get("workspace/done").await.status() == 200
    })
    .await;
    let listed = text(&sandbox, "process_output", json!({})).await;
    assert!(listed.contains("touch begun"), "{listed}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn processes_get_input_and_signals() {
    let sandbox = sandbox().await;
    let command = json!({ "command": "cat; echo end", "stdin_open": true, "wait_ms": 0 });
    let started = text(&sandbox, "run", command).await;
    let process = started.split('"').nth(3).unwrap().to_owned();
    let input = json!({ "process": process, "text": "ü\n", "close": true });
    let written = text(&sandbox, "process_input", input).await;
    assert_eq!(written, "wrote 3 bytes, closed the input");
    let ended = json!({ "process": process, "wait_ms": 60_000 });
    assert_eq!(
        text(&sandbox, "process_output", ended).await,
        "ü\nend\n[exit code 0]"
    );
    let started = text(
        &sandbox,
        "run",
        json!({ "command": "exec sleep 600", "wait_ms": 0 }),
    )
    .await;
    let process = started.split('"').nth(3).unwrap().to_owned();
    let signal = json!({ "process": process, "signal": "SIGTERM" });
    assert_eq!(text(&sandbox, "process_input", signal).await, "sent SIGTERM");
    let ended = json!({ "process": process, "wait_ms": 60_000 });
    assert_eq!(
        text(&sandbox, "process_output", ended).await,
        "[exit code 143: SIGTERM]"
    );
    for (arguments, word) in [
        (json!({ "process": process }), "set text, close or signal"),
        (json!({ "process": process, "text": "a" }), "stdin_closed"),
        (
            json!({ "process": process, "signal": "SIGTERM" }),
            "process_ended",
        ),
        (json!({ "process": "none", "text": "a" }), "process_not_found"),
        (json!({ "process": "../x", "text": "a" }), "Invalid process ID"),
    ] {
        let (told, is_error) = tool(&sandbox, "process_input", arguments).await;
        assert!(is_error && told.contains(word), "{told}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_middle_of_long_output_is_left_out_and_can_be_read_on() {
    let sandbox = sandbox().await;
    let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    let printed = text(&sandbox, "run", json!({ "command": "seq 20000" })).await;
    assert!(printed.len() < 16 * 1024 + 300, "{}", printed.len());
    let (mut read, mut printed, mut limit) = (String::new(), printed, 16 * 1024);
    while let Some((_, rest)) = printed.split_once("left out: process_output ") {
        // Digits and line breaks have one byte each.
        read.push_str(&printed[..limit / 2]);
        let (next, tail) = rest.split_once(" has them]").unwrap();
        assert!(tail.ends_with("20000\n[exit code 0]"), "{tail}");
        let mut next: Value = serde_json::from_str(next).unwrap();
        limit = 64 * 1024;
        next["max_bytes"] = limit.into();
        printed = text(&sandbox, "process_output", next).await;
    }
    read.push_str(printed.strip_suffix("[exit code 0]").unwrap());
    assert!(read == numbers, "{} of {} bytes", read.len(), numbers.len());
    sandbox.destroy().await;
}

#[tokio::test]
async fn code_keeps_its_variables_and_shows_pictures() {
    let sandbox = sandbox().await;
    let run = async |code: &str| result(&sandbox, "run_code", json!({ "code": code })).await;
    assert_eq!(run("x = 6; x * 7").await["content"][0]["text"], "42\n");
    let failed = run("1 / 0").await;
    assert_eq!(failed["isError"], false);
    let traceback = failed["content"][0]["text"].as_str().unwrap();
    assert!(traceback.contains("ZeroDivisionError"), "{traceback}");
    let picture = run("import matplotlib.pyplot as plt; plt.plot([x]); None").await;
    assert_eq!(picture["content"][1]["mimeType"], "image/png", "{picture}");
    let long = run("for i in range(20000): print(i)").await;
    let long = long["content"][0]["text"].as_str().unwrap();
    assert!(
        long.contains("left out: process_output {") && long.ends_with("19999\n"),
        "{long}"
    );
    let late = result(
        &sandbox,
        "run_code",
        json!({ "code": "while True: pass", "timeout_ms": 500 }),
    )
    .await;
    let late = late["content"][0]["text"].as_str().unwrap();
    assert!(late.contains("timeout_ms is over"), "{late}");
    assert_eq!(run("x").await["content"][0]["text"], "6\n");
    sandbox.destroy().await;
}
