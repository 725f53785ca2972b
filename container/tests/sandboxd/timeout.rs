//! A timeout ends everything that a command started, in time.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Sandboxd, sleeping, unique_sleep};

/// `timeout_ms` of these tests, and the latest that the end may come.
const TIMEOUT_MS: u64 = 700;
const LATEST: Duration = Duration::from_millis(TIMEOUT_MS + 2000);

/// Runs `script`, in which `SLEEP` stands for a sleep of its own, into its timeout.
fn times_out(script: &str) {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let script = script.replace("SLEEP", &format!("sleep {duration}"));
    let started = Instant::now();
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script], "timeout_ms": TIMEOUT_MS}));
    assert!(started.elapsed() < LATEST, "{:?}", started.elapsed());
    assert_eq!((output.code(), output.exit.timed_out), (124, true), "{script}");
    assert_eq!(sleeping(&duration), [0; 0], "{script}");
    assert!(output.text().starts_with("started"), "{script}");
}

#[test]
fn an_ordinary_command() {
    times_out("echo started; SLEEP");
}

#[test]
fn a_command_that_ignores_sigterm() {
    times_out("trap '' TERM; echo started; SLEEP; SLEEP");
}

#[test]
fn children_in_the_background() {
    times_out("echo started; SLEEP & SLEEP & wait");
}

#[test]
fn a_child_with_a_session_of_its_own() {
    times_out("echo started; setsid SLEEP & wait");
}

#[test]
fn a_daemon() {
    times_out("(setsid sh -c 'trap \"\" TERM; SLEEP & SLEEP' >/dev/null 2>&1 &); echo started; SLEEP");
}

#[test]
fn a_child_without_the_environment() {
    times_out("echo started; env -i setsid SLEEP & wait");
}

#[test]
fn a_stopped_command() {
    times_out("echo started; SLEEP & kill -STOP $! $$; wait");
}

#[test]
fn a_tree_that_keeps_growing() {
    times_out("trap '' TERM; echo started; while :; do setsid SLEEP & sleep 0.01; done & SLEEP");
}

#[test]
fn a_command_that_ends_on_sigterm_writes_its_last_output() {
    let sandboxd = Sandboxd::start();
    let script = "trap 'echo last words; exit 0' TERM; sleep 60 & wait";
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script], "timeout_ms": 300}));
    assert_eq!(
        (output.text().as_str(), output.code(), output.exit.timed_out),
        ("last words\n", 124, true)
    );
    assert!(output.took < Duration::from_millis(300 + 2000));
}

#[test]
fn a_client_that_does_not_read() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let script = format!("sleep {duration} & exec yes");
    let stream = sandboxd.begin(&json!({"argv": ["sh", "-c", script], "timeout_ms": TIMEOUT_MS}));
    thread::sleep(LATEST);
    assert_eq!(sleeping(&duration), [0; 0]);
    assert_eq!(sandboxd.activity().commands, 0);
    let output = stream.output();
    assert_eq!((output.code(), output.exit.timed_out), (124, true));
}

#[test]
fn others_go_on() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let other = sandboxd.begin(&json!({"argv": ["sh", "-c", "sleep 2; echo other"]}));
    let _detached = sandboxd.begin(&json!({"argv": ["sleep", duration]}));
    let body: Value = json!({"argv": ["sleep", "60"], "timeout_ms": 100});
    assert_eq!(sandboxd.exec(&body).code(), 124);
    assert_eq!(sleeping(&duration).len(), 1);
    assert_eq!(other.output().text(), "other\n");
}

#[test]
fn a_command_that_is_quicker() {
    let sandboxd = Sandboxd::start();
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", "exit 3"], "timeout_ms": u64::MAX}));
    assert_eq!((output.code(), output.exit.timed_out), (3, false));
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", "exit 124"], "timeout_ms": u64::MAX}));
    assert_eq!((output.code(), output.exit.timed_out), (124, false));
}
