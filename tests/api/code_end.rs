//! The ends of runs and of kernels, by themselves and by their clients.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::{eventually, sandbox};

async fn text(sandbox: &Sandbox, code: &str) -> Value {
    sandbox.python(code).await["results"][0]["text"].clone()
}

#[tokio::test]
async fn a_timeout_interrupts_and_the_variables_stay() {
    let sandbox = sandbox().await;
    for code in ["x = 5\nwhile True: pass", "import time\ntime.sleep(600)"] {
        let run = sandbox
            .run_code(&json!({ "code": code, "timeout_ms": 500 }))
            .await;
        assert_eq!(
            (&run["success"], &run["timedOut"]),
            (&json!(false), &json!(true)),
            "{run}"
        );
        assert_eq!(run["exception"]["name"], "KeyboardInterrupt");
    }
    assert_eq!(text(&sandbox, "x").await, "5");
    sandbox.destroy().await;
}

#[tokio::test]
async fn code_that_ignores_its_interrupt_is_ended_with_its_kernel() {
    let sandbox = sandbox().await;
    let id = sandbox.context(&json!({})).await;
    let code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass";
    let body = json!({ "code": code, "context": id, "timeout_ms": 500 });
    let (events, _) = sandbox.stream_code(&body).await;
    let finished = events.finish().await;
    let error = finished.error.unwrap();
    assert_eq!(error["code"], "context_lost");
    assert!(error["error"].as_str().unwrap().contains("timeout"), "{error}");
    for _ in 0..2 {
        let response = sandbox.post_code(&json!({ "code": "1", "context": id })).await;
        assert_error(response, 410, "context_lost").await;
    }
    // A restart makes it usable.
    let context = ok(sandbox.of_context(Method::POST, &id, "/restart").await).await;
    assert!(context.get("lost").is_none(), "{context}");
    let run = sandbox.run_code(&json!({ "code": "1", "context": id })).await;
    assert_eq!(
        (&run["results"][0]["text"], &run["executionCount"]),
        (&json!("1"), &json!(1))
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_kernel_that_dies_says_how() {
    let sandbox = sandbox().await;
    for (code, reason) in [
        ("import os; os._exit(7)", "code 7"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "SIGKILL",
        ),
    ] {
        let response = sandbox.post_code(&json!({ "code": code })).await;
        let text = assert_error(response, 410, "context_lost").await;
        assert!(text.contains(reason), "{text}");
        // The next call is told that the variables are lost, the one after it has a new context.
        let response = sandbox.post_code(&json!({ "code": "1" })).await;
        let text = assert_error(response, 410, "context_lost").await;
        assert!(text.contains(reason), "{text}");
        assert_eq!(self::text(&sandbox, "1").await, "1");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_context_is_interrupted_restarted_and_deleted() {
    let sandbox = sandbox().await;
    let id = sandbox.context(&json!({})).await;
    let forever = json!({ "code": "x = 1\nprint('on', flush=True)\nwhile True: pass", "context": id });
    let begin = async || {
        let (mut events, _) = sandbox.stream_code(&forever).await;
        // The first output, behind any comments.
        while !matches!(
            events.next().await.unwrap().unwrap(),
            sandbar_tests::sse::Item::Output(..)
        ) {}
        events
    };
    let events = begin().await;
    let response = sandbox.of_context(Method::POST, &id, "/interrupt").await;
    assert_eq!(response.status(), 204);
    let finished = events.finish().await;
    assert_eq!(
        (finished.code(), &finished.exception.unwrap()["name"]),
        (1, &json!("KeyboardInterrupt"))
    );
    let run = sandbox.run_code(&json!({ "code": "x", "context": id })).await;
    assert_eq!(run["results"][0]["text"], "1");

    let events = begin().await;
    ok(sandbox.of_context(Method::POST, &id, "/restart").await).await;
    assert_eq!(events.finish().await.error.unwrap()["code"], "context_lost");
    let run = sandbox.run_code(&json!({ "code": "x", "context": id })).await;
    assert_eq!(run["exception"]["name"], "NameError");

    let events = begin().await;
    let response = sandbox.of_context(Method::DELETE, &id, "").await;
    assert_eq!(response.status(), 204);
    assert_eq!(events.finish().await.error.unwrap()["code"], "context_lost");
    let response = sandbox.post_code(&json!({ "code": "1", "context": id })).await;
    assert_error(response, 404, "context_not_found").await;
    assert_eq!(sandbox.contexts().await, [json!(null); 0]);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_leaves_interrupts_its_run_unless_it_is_detached() {
    let sandbox = sandbox().await;
    let code = "print('on', flush=True)\nimport time\ntime.sleep(600)";
    let (mut events, id) = sandbox.stream_code(&json!({ "code": code })).await;
    while !matches!(
        events.next().await.unwrap().unwrap(),
        sandbar_tests::sse::Item::Output(..)
    ) {}
    drop(events);
    let process = sandbox.process(&id);
    assert_eq!(process.exit().await["exit_code"], 1);
    let finished = process.log("?follow=true").await.finish().await;
    assert_eq!(finished.exception.unwrap()["name"], "KeyboardInterrupt");

    let code = "print('on', flush=True)\ntime.sleep(7)\nopen('/tmp/done', 'w').close()";
    let body = json!({ "code": code, "detached": true });
    let (events, id) = sandbox.stream_code(&body).await;
    // It ends after the time in which the client's leave is noticed.
    drop(events);
    let finished = sandbox.process(&id).log("?follow=true").await.finish().await;
    assert_eq!((finished.code(), finished.text().as_str()), (0, "on\n"));
    assert_eq!(sandbox.sh("ls /tmp/done").await.code(), 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_run_is_ended_as_a_process() {
    let sandbox = sandbox().await;
    sandbox.python("x = 3").await;
    let body = json!({ "code": "while True: pass", "id": "run-1", "detached": true });
    let (events, id) = sandbox.stream_code(&body).await;
    drop(events);
    assert_eq!(id, "run-1");
    let waiting = json!({ "code": "x", "id": "run-2", "detached": true });
    drop(sandbox.stream_code(&waiting).await);
    // One that waits for its turn does not need it to end.
    let started = Instant::now();
    assert_eq!(sandbox.process("run-2").end().await, 204);
    let response = sandbox.process("run-1").signal("SIGINT").await;
    // A signal before the run has begun prevents it.
    assert_eq!(response.status(), 204);
    assert_eq!(sandbox.process("run-1").exit().await["exit_code"], 1);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(text(&sandbox, "x").await, "3");
    sandbox.destroy().await;
}

#[tokio::test]
async fn contexts_end_with_their_sandbox() {
    let bridge = Bridge::start(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let sandbox = Client::new(&bridge).create().await;
    let id = sandbox.context(&json!({})).await;
    sandbox.run_code(&json!({ "code": "1", "context": id })).await;
    // A kernel without a run does not keep it awake.
    eventually("it sleeps", || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        !sandbox.running().await
    })
    .await;
    assert_eq!(sandbox.contexts().await, [json!(null); 0]);
    let response = sandbox.of_context(Method::DELETE, &id, "").await;
    assert_error(response, 404, "context_not_found").await;
    assert!(!sandbox.running().await, "asking does not wake it");
    let response = sandbox.post_code(&json!({ "code": "1", "context": id })).await;
    assert_error(response, 404, "context_not_found").await;
    assert_eq!(text(&sandbox, "1").await, "1");
    sandbox.destroy().await;
}
