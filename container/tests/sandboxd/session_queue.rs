//! Commands of one session run one after another, those of different sessions at once.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Sandboxd, eventually, sleeping, unique_sleep};

#[test]
fn one_after_another_in_the_order_of_their_requests() {
    let sandboxd = Sandboxd::start();
    let script =
        |n: usize| format!("echo begin{n} >>log; sleep 0.05; echo end{n} >>log; export N=\"$N {n}\"");
    let streams: Vec<_> = (0..8)
        .map(|n| {
            let mut stream = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", script(n)]}));
            // Accepted: the head of the response is there before the command has its turn.
            stream.read_head();
            stream
        })
        .collect();
    for stream in streams {
        assert_eq!(stream.output().code(), 0);
    }
    let expected: String = (0..8).map(|n| format!("begin{n}\nend{n}\n")).collect();
    assert_eq!(sandboxd.run_in("s", &["cat", "log"]).0, expected);
    assert_eq!(sandboxd.run_in("s", &["printenv", "N"]).0, " 0 1 2 3 4 5 6 7\n");
}

#[test]
fn different_sessions_and_none_do_not_wait() {
    let sandboxd = Sandboxd::start();
    let long = unique_sleep();
    let mut blocked = sandboxd.begin_in(
        "a",
        &json!({"argv": ["sh", "-c", format!("echo on; sleep {long}")]}),
    );
    blocked.wait_for("on");
    assert_eq!(sandboxd.run_in("b", &["echo", "b"]).0, "b\n");
    assert_eq!(sandboxd.exec(&json!({"argv": ["echo", "none"]})).text(), "none\n");
    assert_eq!(sleeping(&long).len(), 1);
}

#[test]
fn a_client_that_leaves_the_queue_is_not_waited_for() {
    let sandboxd = Sandboxd::start();
    let mut first = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", "echo on; read x; sleep 1"]}));
    first.wait_for("on");
    let mut leaves = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", "touch never"]}));
    leaves.read_head();
    let mut stays = sandboxd.begin_in(
        "s",
        &json!({"argv": ["sh", "-c", "touch detached"], "detached": true}),
    );
    stays.read_head();
    drop((leaves, stays));
    assert_eq!(sandboxd.run_in("s", &["ls"]).0, "detached\n");
    assert_eq!(first.rest().code(), 0);
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn a_timeout_counts_the_waiting() {
    let sandboxd = Sandboxd::start();
    let long = unique_sleep();
    let mut first = sandboxd.begin_in(
        "s",
        &json!({"argv": ["sh", "-c", format!("echo on; sleep {long}")]}),
    );
    first.wait_for("on");
    let late = sandboxd.exec_in("s", &json!({"argv": ["touch", "never"], "timeout_ms": 300}));
    assert_eq!((late.code(), late.exit.timed_out), (124, true));
    assert!(
        late.stderr().contains("earlier commands of session s"),
        "{}",
        late.stderr()
    );
    assert!(late.took < Duration::from_secs(2), "{:?}", late.took);
    assert!(!sandboxd.workspace.path().join("never").exists());
    assert_eq!(sleeping(&long).len(), 1);
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody_once_its_command_has_ended() {
    let sandboxd = Sandboxd::start();
    let mut silent = sandboxd.begin_in(
        "s",
        &json!({"argv": ["sh", "-c", "head -c 150000 /dev/zero; export DONE=1"]}),
    );
    // Accepted: it comes before the next. Nothing more of it is read.
    silent.read_head();
    assert_eq!(sandboxd.run_in("s", &["printenv", "DONE"]).0, "1\n");
    assert_eq!(silent.output().stdout().len(), 150_000);
}

#[test]
fn the_queue_is_bounded() {
    let sandboxd = Sandboxd::start();
    let long = unique_sleep();
    let mut first = sandboxd.begin_in(
        "s",
        &json!({"argv": ["sh", "-c", format!("echo on; sleep {long}")]}),
    );
    first.wait_for("on");
    let waiting: Vec<_> = (1..256)
        .map(|_| {
            let mut stream = sandboxd.begin_in("s", &json!({"argv": ["true"]}));
            stream.read_head();
            stream
        })
        .collect();
    let mut refused = sandboxd.begin_in("s", &json!({"argv": ["true"]}));
    refused.read_head();
    assert!(refused.head.starts_with("http/1.1 503"), "{}", refused.head);
    drop(waiting);
    eventually("there is room again", || {
        thread::sleep(Duration::from_millis(100));
        let mut next = sandboxd.begin_in("s", &json!({"argv": ["true"]}));
        next.read_head();
        next.head.starts_with("http/1.1 200")
    });
}
