//! How commands end: by themselves, by a timeout, with their client, with their sandbox.

use std::time::{Duration, Instant};

use sandbar_tests::Sandbox;
use sandbar_tests::kill::kill_sandboxd;
use sandbar_tests::sse::Item;
use serde_json::json;

use crate::{bridge, eventually, sandbox};

/// How many `sleep SECONDS` run in the sandbox.
pub async fn sleepers(sandbox: &Sandbox, seconds: u32) -> usize {
    let script = format!("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^{seconds}$'");
    let finished = sandbox.sh(&script).await;
    finished.text().trim().parse().expect("a count")
}

/// A command line that starts `sleep SECONDS` once as a child, once in a session of its own, once
/// orphaned.
pub fn family(seconds: u32) -> String {
    format!(
        "sleep {seconds} & setsid sleep {seconds} & (setsid sh -c 'sleep {seconds} & exit' &); sleep 0.2; echo up; wait"
    )
}

#[tokio::test]
async fn a_timeout_is_124_and_ends_the_whole_tree() {
    let sandbox = sandbox().await;
    let started = Instant::now();
    let finished = sandbox
        .exec(&json!({ "argv": ["sh", "-c", family(4101)], "timeout_ms": 1500 }))
        .await;
    assert_eq!((finished.text().as_str(), finished.code()), ("up\n", 124));
    assert_eq!(finished.exit.as_ref().unwrap()["timed_out"], true);
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "a generous bound: {:?}",
        started.elapsed()
    );
    assert_eq!(sleepers(&sandbox, 4101).await, 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_timeout_ends_what_ignores_sigterm_and_what_fills_the_pipe() {
    let sandbox = sandbox().await;
    let deaf = "trap '' TERM; sleep 4102 & wait; while :; do sleep 1; done";
    let finished = sandbox
        .exec(&json!({ "argv": ["sh", "-c", deaf], "timeout_ms": 300 }))
        .await;
    assert_eq!((finished.code(), sleepers(&sandbox, 4102).await), (124, 0));
    let loud = sandbox.exec(&json!({ "argv": ["yes"], "timeout_ms": 300 })).await;
    assert_eq!(loud.code(), 124);
    assert!(loud.stdout.starts_with(b"y\ny\n"));
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_timeout_lets_a_command_clean_up() {
    let sandbox = sandbox().await;
    let script = "trap 'echo cleaned; exit 0' TERM; while :; do sleep 0.05; done";
    let finished = sandbox
        .exec(&json!({ "argv": ["sh", "-c", script], "timeout_ms": 300 }))
        .await;
    assert_eq!((finished.text().as_str(), finished.code()), ("cleaned\n", 124));
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_command_that_ends_in_time_is_not_a_timeout() {
    let sandbox = sandbox().await;
    let finished = sandbox
        .exec(&json!({ "argv": ["sh", "-c", "exit 5"], "timeout_ms": 60_000 }))
        .await;
    assert_eq!(finished.exit.unwrap(), json!({ "exit_code": 5 }));
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_background_child_neither_delays_the_exit_nor_dies() {
    let sandbox = sandbox().await;
    let script = "(while :; do echo noise; sleep 0.1; date +%s%N > alive; done) & echo started";
    let started = Instant::now();
    let finished = sandbox.sh(script).await;
    assert!(finished.text().contains("started\n"), "{}", finished.text());
    assert_eq!(finished.code(), 0);
    assert!(started.elapsed() < Duration::from_secs(20), "a generous bound");
    let mut last = String::new();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let now = sandbox.get("workspace/alive").await.text().await.unwrap();
        assert_ne!(now, last, "it still runs, though nobody reads what it writes");
        last = now;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_loud_background_child_does_not_postpone_the_exit() {
    let sandbox = sandbox().await;
    let finished = sandbox.sh("yes & echo $! > pid").await;
    assert_eq!(finished.code(), 0);
    let alive = sandbox
        .sh("kill -0 $(cat pid) && kill $(cat pid) && echo alive")
        .await;
    assert_eq!(alive.text(), "alive\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_whole_tree_with_it() {
    let sandbox = sandbox().await;
    let mut events = sandbox
        .stream(&json!({ "argv": ["sh", "-c", family(4103)] }))
        .await;
    assert_eq!(
        events.next().await.unwrap().unwrap(),
        Item::Output(false, b"up\n".to_vec())
    );
    assert!(sleepers(&sandbox, 4103).await >= 3);
    drop(events);
    eventually("the tree is gone", || async {
        sleepers(&sandbox, 4103).await == 0
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_detached_command_outlives_its_client() {
    let sandbox = sandbox().await;
    let script = "echo up; sleep 1; head -c 1000000 /dev/zero; sleep 6; echo finished > result";
    let mut events = sandbox
        .stream(&json!({ "argv": ["sh", "-c", script], "detached": true }))
        .await;
    assert_eq!(
        events.next().await.unwrap().unwrap(),
        Item::Output(false, b"up\n".to_vec())
    );
    drop(events);
    eventually("the command finished", || async {
        sandbox.get("workspace/result").await.status() == 200
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn closing_after_the_exit_ends_nothing() {
    let sandbox = sandbox().await;
    let mut events = sandbox
        .stream(&json!({ "argv": ["sh", "-c", "sleep 4104 & echo x"] }))
        .await;
    while let Some(item) = events.next().await {
        if matches!(item.unwrap(), Item::Exit(_)) {
            break;
        }
    }
    drop(events);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sleepers(&sandbox, 4104).await, 1);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_sandbox_destroyed_under_a_command_ends_its_stream_with_an_error() {
    let sandbox = sandbox().await;
    let mut events = sandbox
        .stream(&json!({ "argv": ["sh", "-c", "echo up; sleep 4105"] }))
        .await;
    events.next().await.unwrap().unwrap();
    assert_eq!(sandbox.destroy().await, 204);
    let rest = events.finish().await;
    assert!(rest.exit.is_none(), "no invented exit: {rest:?}");
    assert_eq!(
        rest.error.expect("an error event")["code"],
        "exec_transport_error"
    );
}

#[tokio::test]
async fn a_killed_sandboxd_ends_the_stream_with_an_error_and_the_next_request_boots_afresh() {
    if !bridge().is_local && !bridge().has_containers {
        eprintln!("skipped: only a sandboxd of this machine can be killed from here");
        return;
    }
    for script in ["echo up; sleep 4106", "yes"] {
        let sandbox = sandbox().await;
        sandbox.put("workspace/old", "x").await;
        let boot = sandbox.boot_id().await;
        let mut events = sandbox.stream(&json!({ "argv": ["sh", "-c", script] })).await;
        events.next().await.unwrap().unwrap();
        kill_sandboxd(&boot);
        let rest = events.finish().await;
        rest.assert_broken_off();
        let next = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
        assert_eq!(next.status(), 200);
        assert_ne!(next.headers()["sandbox-boot-id"].to_str().unwrap(), boot);
        assert_eq!(
            sandbox.get("workspace/old").await.status(),
            404,
            "a fresh sandbox has a fresh workspace"
        );
        sandbox.destroy().await;
    }
}
