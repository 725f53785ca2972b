//! The command line: tools for hosts that speak over standard input and output.

use std::process::Stdio;

use sandbar_tests::build;
use sandbar_tests::command_line::{command, run_with};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::mcp::{check_javascript, run_javascript};
use crate::{bridge, eventually, sandbox};

#[tokio::test]
async fn the_official_clients_use_the_tools_over_stdio() {
    let program = build::command_line();
    let program = program.to_str().unwrap();
    check_javascript(&run_javascript(&["2", program]).await, "2026-07-28");
    let mut earlier = run_javascript(&["1", program]).await;
    // This client does not tell its revision.
    earlier["revision"] = "2025-11-25".into();
    check_javascript(&earlier, "2025-11-25");
}

#[tokio::test]
async fn each_request_has_one_answer_and_failures_are_answers() {
    let input = [
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string(),
        "no JSON".to_owned(),
        json!({ "jsonrpc": "2.0", "id": "a", "method": "ping" }).to_string(),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }).to_string(),
    ];
    let input = format!("{}\n", input.join("\n")).into_bytes();
    let ran = run_with(command(bridge(), &["mcp"]), &bridge().key, Some(input.clone())).await;
    let answers: Vec<Value> = ran
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 3, "{answers:?}");
    let answer = |id: Value| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(answer(Value::Null)["error"]["code"], -32700);
    assert_eq!(answer("a".into())["result"], json!({}));
    assert!(answer(2.into())["result"]["tools"].is_array());
    // Without a bridge, too.
    let nobody = sandbar_tests::Bridge::at("http://127.0.0.1:9", "a-secret-key".to_owned());
    let ran = run_with(command(&nobody, &["mcp"]), &nobody.key, Some(input)).await;
    assert_eq!(
        ran.text()
            .lines()
            .filter(|line| line.contains("cannot be reached"))
            .count(),
        2,
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_request_that_is_cancelled_is_not_answered() {
    let sandbox = sandbox().await;
    let mut host = command(bridge(), &["mcp", &sandbox.id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = host.stdin.take().unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let params =
        json!({ "name": "run", "arguments": { "command": "touch began; sleep 600", "wait_ms": 600_000 } });
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    input.write_all(format!("{call}\n").as_bytes()).await.unwrap();
    eventually("a start", async || sandbox.sh("test -e began").await.code() == 0).await;
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    let ping = json!({ "jsonrpc": "2.0", "id": 8, "method": "ping" });
    input
        .write_all(format!("{cancelled}\n{ping}\n").as_bytes())
        .await
        .unwrap();
    let line = lines.next_line().await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["id"], 8);
    drop(input);
    assert_eq!(lines.next_line().await.unwrap(), None);
    assert!(host.wait().await.unwrap().success());
    sandbox.destroy().await;
}
