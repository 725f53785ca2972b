//! Processes: how they are started, listed and read.

use futures_util::future::join_all;
use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::sse::Item;
use serde_json::{Value, json};

use crate::sandbox;

/// The ids of a list.
pub fn ids(processes: &[Value]) -> Vec<&str> {
    let ids = processes.iter().map(|process| process["id"].as_str());
    ids.map(|id| id.expect("an id")).collect()
}

#[tokio::test]
async fn a_process_runs_without_a_client_and_keeps_its_log_and_its_exit() {
    let sandbox = sandbox().await;
    let script = "echo out; sleep 0.2; echo err >&2; until [ -e go ]; do sleep 0.02; done; exit 7";
    let process = sandbox.start_sh(script).await;
    let record = process.show().await;
    assert_eq!(record["id"], *process.id);
    assert_eq!(record["argv"], json!(["sh", "-c", script]));
    assert_eq!(record["cwd"], "/workspace");
    assert_eq!(record["state"], "running");
    assert!(record["pid"].as_u64().is_some_and(|pid| pid > 0), "{record}");
    assert_eq!(record["ports"], json!([]));
    let absent = ["endedAt", "exit", "error", "sessionId"];
    assert!(absent.iter().all(|name| record.get(name).is_none()), "{record}");

    let mut events = process.log("?follow=true").await;
    for expected in [
        Item::Output(false, b"out\n".into()),
        Item::Output(true, b"err\n".into()),
    ] {
        assert_eq!(events.next().await.unwrap().unwrap(), expected);
    }
    // Without `follow`, the stream ends at the present.
    let present = process.log("").await.finish().await;
    assert_eq!(
        (present.text().as_str(), present.stderr_text().as_str()),
        ("out\n", "err\n")
    );
    assert!(present.exit.is_none() && !present.broke);

    sandbox.put("workspace/go", "").await;
    assert_eq!(events.finish().await.exit, Some(json!({ "exit_code": 7 })));
    let record = process.show().await;
    assert_eq!(record["state"], "exited");
    assert_eq!(record["exit"], json!({ "exit_code": 7 }));
    assert_eq!(
        (&record["stdoutBytes"], &record["stderrBytes"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(record["logTruncated"], false);
    let (started, ended) = (time(&record["startedAt"]), time(&record["endedAt"]));
    assert!(started <= ended, "{record}");
    let whole = process.log("").await.finish().await;
    assert_eq!((whole.text().as_str(), whole.code()), ("out\n", 7));
    sandbox.destroy().await;
}

/// A time in RFC 3339, in UTC and with milliseconds. The order of these texts is that of the times.
fn time(value: &Value) -> &str {
    let text = value.as_str().expect("a time");
    let is_form = |form: &str| {
        form.len() == text.len()
            && form.bytes().zip(text.bytes()).all(|(form, byte)| match form {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
    };
    assert!(is_form("0000-00-00T00:00:00.000Z"), "{text}");
    text
}

#[tokio::test]
async fn the_log_is_given_in_parts_and_as_text() {
    let sandbox = sandbox().await;
    let script = "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three; exec sleep 60";
    let process = sandbox.start_sh(script).await;
    process.wait(&json!({ "for": "log", "pattern": "three" })).await;
    assert_eq!(process.log_after(1, "").await.finish().await.text(), "three\n");
    // The parameter takes precedence.
    let request = process.request(Method::GET, "/log?since=0");
    let response = request.header("Last-Event-ID", "3").send().await.unwrap();
    let all = sandbar_tests::sse::Events::new(response.bytes_stream());
    assert_eq!(all.finish().await.text(), "one\nthree\n");
    for (stream, text) in [("stdout", "one\nthree\n"), ("stderr", "two\n")] {
        let query = format!("?stream={stream}");
        let events = process.log(&query).await.of_one_output();
        let finished = events.finish().await;
        assert_eq!(finished.text() + &finished.stderr_text(), text, "{stream}");
        assert_eq!(process.text(&query).await, text.as_bytes());
    }
    assert_eq!(process.text("").await, b"one\ntwo\nthree\n");
    assert_eq!(process.log_after(99, "").await.finish().await.text(), "");
    let follower = process.request(Method::GET, "/log?follow=true");
    let follower = follower.header("Accept", "text/plain").send().await.unwrap();
    assert_eq!(process.end().await, 204);
    assert_eq!(follower.text().await.unwrap(), "one\ntwo\nthree\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_log_keeps_the_beginning_and_the_end() {
    let sandbox = sandbox().await;
    let script = "echo begin; head -c 4000000 /dev/zero; echo end";
    let body = json!({ "argv": ["sh", "-c", script], "log_bytes": 100_000 });
    let process = sandbox.start(&body).await;
    assert_eq!(process.exit().await, json!({ "exit_code": 0 }));
    let record = process.show().await;
    assert_eq!(
        (&record["stdoutBytes"], &record["logTruncated"]),
        (&json!(4_000_010), &json!(true))
    );
    let kept = process.log("").await.finish().await;
    assert!(kept.stdout.starts_with(b"begin\n") && kept.stdout.ends_with(b"end\n"));
    assert!(
        kept.missing > 0 && kept.stdout.len() < 1_000_000,
        "{} bytes",
        kept.stdout.len()
    );
    assert_eq!(kept.code(), 0);
    assert_eq!(process.text("").await, kept.stdout);
    sandbox.destroy().await;
}

#[tokio::test]
async fn lists_are_in_pages_with_the_newest_first() {
    let sandbox = sandbox().await;
    let running = sandbox
        .start(&json!({ "argv": ["sleep", "60"], "id": "running" }))
        .await;
    for id in ["a", "b.2", "C_3-"] {
        let process = sandbox.start(&json!({ "argv": ["true"], "id": id })).await;
        assert_eq!(process.id, id);
        process.exit().await;
    }
    let all = sandbox.processes("").await;
    assert_eq!(ids(&all), ["C_3-", "b.2", "a", "running"]);
    assert_eq!(ids(&sandbox.processes("?state=running").await), ["running"]);
    let mut paged: Vec<String> = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let request = sandbox.request(Method::GET, &format!("/process{query}"));
        let page = ok(request.send().await.unwrap()).await;
        let processes = page["processes"].as_array().unwrap();
        paged.extend(ids(processes).into_iter().map(str::to_owned));
        match page["cursor"].as_str() {
            Some(cursor) => query = format!("?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, ids(&all));
    assert_eq!(running.end().await, 204);
    assert_error(
        running.request(Method::GET, "").send().await.unwrap(),
        404,
        "process_not_found",
    )
    .await;
    assert_eq!(ids(&sandbox.processes("").await), ["C_3-", "b.2", "a"]);
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_same_request_at_the_same_moment_starts_one_process() {
    let sandbox = sandbox().await;
    sandbox.boot_id().await;
    for round in 0..5 {
        let script = format!("echo >> started{round}; exec sleep 60");
        let body = json!({ "argv": ["sh", "-c", script], "id": format!("one{round}") });
        let starts = (0..8).map(|_| sandbox.post("/process", &body));
        let mut pids = Vec::new();
        for response in join_all(starts).await {
            pids.push(ok(response).await["pid"].take());
        }
        pids.dedup();
        assert_eq!(pids.len(), 1, "{pids:?}");
        let process = sandbox.process(&format!("one{round}"));
        assert_eq!(process.end().await, 204);
        let started = sandbox.get(&format!("workspace/started{round}")).await;
        assert_eq!(started.text().await.unwrap(), "\n");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_id_belongs_to_one_request_until_it_is_replaced() {
    let sandbox = sandbox().await;
    let first = json!({ "argv": ["sleep", "60"], "id": "p" });
    let process = sandbox.start(&first).await;
    let pid = process.show().await["pid"].clone();
    for other in [
        json!({ "argv": ["sleep", "61"], "id": "p" }),
        json!({ "argv": ["sleep", "61"], "id": "p", "replace": true }),
    ] {
        assert_error(sandbox.post("/process", &other).await, 409, "process_exists").await;
    }
    assert_eq!(ok(sandbox.post("/process", &first).await).await["pid"], pid);

    process.signal("SIGKILL").await;
    assert_eq!(
        process.exit().await,
        json!({ "exit_code": 137, "signal": "SIGKILL" })
    );
    // It has ended, and its record still answers for the same request.
    let again = ok(sandbox.post("/process", &first).await).await;
    assert_eq!((&again["state"], &again["pid"]), (&json!("exited"), &pid));
    let other = json!({ "argv": ["echo", "other"], "id": "p" });
    assert_error(sandbox.post("/process", &other).await, 409, "process_exists").await;
    let replacing = json!({ "argv": ["echo", "other"], "id": "p", "replace": true });
    sandbox.start(&replacing).await.exit().await;
    assert_eq!(process.text("").await, b"other\n");
    assert_eq!(sandbox.processes("").await.len(), 1);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_ends_like_one_of_a_shell() {
    let sandbox = sandbox().await;
    let process = sandbox.start(&json!({ "argv": ["no-such-program"] })).await;
    assert_eq!(process.exit().await, json!({ "exit_code": 127 }));
    let log = process.log("").await.finish().await;
    assert!(log.stderr_text().contains("no-such-program"), "{log:?}");
    let record = process.show().await;
    assert!(record.get("pid").is_none(), "{record}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_process_has_the_directory_and_the_variables_of_its_session_and_does_not_queue() {
    let sandbox = sandbox().await;
    let in_session = |method: Method, rest: &str, body: Value| {
        let request = sandbox.request(method, rest).header("Session-Id", "s");
        async move { request.json(&body).send().await.unwrap() }
    };
    let exec = |script: &str| in_session(Method::POST, "/exec", json!({ "command": script }));
    exec("mkdir -p d; cd d; export A=b").await.bytes().await.unwrap();
    // A command of the session runs, and the process does not wait for it.
    let blocking = exec("echo up; until [ -e go ]; do sleep 0.02; done").await;
    let body = json!({ "command": "pwd; echo $A; cd /; export A=c" });
    let record = ok(in_session(Method::POST, "/process", body).await).await;
    assert_eq!(record["sessionId"], "s");
    assert_eq!(record["cwd"], "/workspace/d");
    let process = sandbox.process(record["id"].as_str().unwrap());
    assert_eq!(process.exit().await, json!({ "exit_code": 0 }));
    assert_eq!(process.text("").await, b"/workspace/d\nb\n");
    sandbox.put("workspace/d/go", "").await;
    blocking.bytes().await.unwrap();
    // It changes nothing of the session.
    let after = sandbar_tests::sse::Events::new(exec("pwd; echo $A").await.bytes_stream());
    assert_eq!(after.finish().await.text(), "/workspace/d\nb\n");
    sandbox.destroy().await;
}
