//! Commands of one session run one after another, those of different sessions at once.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{Output, Sandboxd, Stream, eventually, sleeping, unique_sleep};

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
    let script = "echo on; until [ -e go ]; do sleep 0.02; done";
    let mut first = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", script]}));
    first.wait_for("on");
    let mut leaves = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", "touch never"]}));
    leaves.read_head();
    let mut stays = sandboxd.begin_in(
        "s",
        &json!({"argv": ["sh", "-c", "touch detached"], "detached": true}),
    );
    stays.read_head();
    assert_eq!(sandboxd.activity().requests, 3);
    drop((leaves, stays));
    eventually("both have left", || sandboxd.activity().requests == 1);
    fs::write(sandboxd.workspace.path().join("go"), "").unwrap();
    assert_eq!(sandboxd.run_in("s", &["ls"]).0, "detached\ngo\n");
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
fn a_stream_that_others_wait_for_is_written_to_often() {
    let sandboxd = Sandboxd::start();
    let long = unique_sleep();
    let script = format!("echo on; sleep {long}");
    let started = Instant::now();
    let mut first = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", script]}));
    first.wait_for("on");
    let mut next = sandboxd.begin_in("s", &json!({"argv": ["echo", "next"]}));
    let read_comments = |stream: &mut Stream, count| {
        for _ in 0..count {
            assert_eq!(stream.next().unwrap().kind, "");
        }
    };
    read_comments(&mut next, 2);
    read_comments(&mut first, 10);
    // The keep-alive of a silent stream is one in 4.5 s.
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    for pid in sleeping(&long) {
        kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
    }
    let comments = |output: &Output| output.events.iter().filter(|event| event.kind.is_empty()).count();
    let counts = (10 + comments(&first.rest()), 2 + comments(&next.rest()));
    // Not more often than every 100 ms, and every second.
    let most = started.elapsed().as_millis() as usize;
    assert!(
        counts.0 <= most / 100 + 1 && counts.1 <= most / 1000,
        "{counts:?} in {most} ms"
    );
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
    eventually("there is capacity again", || {
        thread::sleep(Duration::from_millis(100));
        let mut next = sandboxd.begin_in("s", &json!({"argv": ["true"]}));
        next.read_head();
        next.head.starts_with("http/1.1 200")
    });
}
