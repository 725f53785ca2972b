//! Every exec is a process; exec as a client uses it that wants one answer.

use reqwest::{Method, Response};
use sandbar_tests::Sandbox;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::process::ids;
use crate::sandbox;

async fn exec_as(sandbox: &Sandbox, accept: &str, body: &Value) -> Response {
    let request = sandbox.request(Method::POST, "/exec").header("Accept", accept);
    request.json(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_command_line_is_run_by_bash() {
    let sandbox = sandbox().await;
    let line = "echo ${BASH_VERSION:0:1} | grep -c '[0-9]'; echo $0; exit 3";
    let finished = sandbox.exec(&json!({ "command": line })).await;
    assert_eq!((finished.text().as_str(), finished.code()), ("1\nbash\n", 3));
    let process = sandbox.start(&json!({ "command": line })).await;
    assert_eq!(process.exit().await, json!({ "exit_code": 3 }));
    assert_eq!(process.text("").await, b"1\nbash\n");
    assert_eq!(process.show().await["argv"], json!(["bash", "-c", line]));
    sandbox.destroy().await;
}

#[tokio::test]
async fn every_exec_is_a_process() {
    let sandbox = sandbox().await;
    let response = sandbox
        .exec_json(
            &json!({ "argv": ["sh", "-c", "echo out; until [ -e go ]; do sleep 0.02; done; echo end"] }),
        )
        .await;
    let id = response.headers()["process-id"].to_str().unwrap().to_owned();
    let mut events = sandbar_tests::sse::Events::new(response.bytes_stream());
    events.next().await.unwrap().unwrap();
    let process = sandbox.process(&id);
    assert_eq!(ids(&sandbox.processes("?state=running").await), [id.as_str()]);
    let follower = process.log("?follow=true").await;
    sandbox.put("workspace/go", "").await;
    assert_eq!(events.finish().await.text(), "end\n");
    let followed = follower.finish().await;
    assert_eq!((followed.text().as_str(), followed.code()), ("out\nend\n", 0));
    assert_eq!(process.show().await["state"], "exited");
    sandbox.destroy().await;
}

#[tokio::test]
async fn exec_answers_with_json_to_a_client_that_wants_nothing_else() {
    let sandbox = sandbox().await;
    let body = json!({ "command": "echo é; echo err >&2; printf '\\377' >&2; exit 4" });
    let response = exec_as(&sandbox, "application/json", &body).await;
    let id = response.headers()["process-id"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["content-type"], "application/json");
    let result = ok(response).await;
    let expected = json!({
        "exit_code": 4, "stdout": "é\n", "stderr": { "base64": "ZXJyCv8=" }, "processId": id,
    });
    assert_eq!(result, expected);
    // axios names everything behind JSON and expects the stream.
    for accept in [
        "application/json, text/plain, */*",
        "text/event-stream, application/json",
        "*/*",
    ] {
        let response = exec_as(&sandbox, accept, &body).await;
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream",
            "{accept}"
        );
    }
    let long =
        json!({ "argv": ["sh", "-c", "echo begin; head -c 3000000 /dev/zero | tr '\\0' x; echo end"] });
    let result = ok(exec_as(&sandbox, "application/json", &long).await).await;
    let stdout = result["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("begin\n") && stdout.ends_with("end\n"));
    assert_eq!(
        (stdout.len(), &result["stdoutTruncated"]),
        (1 << 20, &json!(true))
    );
    assert!(result.get("stderrTruncated").is_none());
    // The second request with this id reads a log that has lost the middle.
    let kept = json!({ "argv": ["seq", "100000"], "id": "kept", "detached": true, "log_bytes": 65_536 });
    for expected in [None, Some(&json!(true))] {
        let result = ok(exec_as(&sandbox, "application/json", &kept).await).await;
        assert_eq!(result.get("stdoutTruncated"), expected, "{}", result["exit_code"]);
    }
    let late = json!({ "argv": ["sleep", "60"], "timeout_ms": 100 });
    let result = ok(exec_as(&sandbox, "application/json", &late).await).await;
    assert_eq!(
        (&result["exit_code"], &result["timed_out"]),
        (&json!(124), &json!(true))
    );
    let killed = json!({ "argv": ["sh", "-c", "kill -9 $$"] });
    let result = ok(exec_as(&sandbox, "application/json", &killed).await).await;
    assert_eq!(
        (&result["exit_code"], &result["signal"]),
        (&json!(137), &json!("SIGKILL"))
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_long_json_answer_begins_early() {
    let sandbox = sandbox().await;
    let body = json!({ "argv": ["sh", "-c", "sleep 6; echo done"] });
    let text = exec_as(&sandbox, "application/json", &body)
        .await
        .text()
        .await
        .unwrap();
    assert!(text.starts_with(' '), "{text:?}");
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&result["exit_code"], &result["stdout"]),
        (&json!(0), &json!("done\n"))
    );
    sandbox.destroy().await;
}
