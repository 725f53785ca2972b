//! Clients that leave, and clients that do not read.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Sandboxd, eventually, sleeping, unique_sleep};

#[test]
fn one_that_leaves_takes_its_command_with_it() {
    let sandboxd = Sandboxd::start();
    let [own, daemon] = [unique_sleep(), unique_sleep()];
    let script =
        format!("trap '' TERM; (setsid sleep {daemon} >/dev/null 2>&1 &); echo started; sleep {own}");
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", script]}));
    stream.wait_for("started");
    eventually("both run", || sleeping(&own).len() + sleeping(&daemon).len() == 2);
    drop(stream);
    eventually("both are gone", || {
        sleeping(&own).is_empty() && sleeping(&daemon).is_empty()
    });
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn one_that_leaves_in_the_middle_of_output() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", format!("sleep {duration} & exec yes")]}));
    assert_eq!(stream.next().unwrap().kind, "stdout");
    drop(stream);
    eventually("it is gone", || sleeping(&duration).is_empty());
}

#[test]
fn one_that_leaves_a_detached_command() {
    let sandboxd = Sandboxd::start();
    let script = "echo started; sleep 0.5; head -c 8000000 /dev/zero && echo $? >done";
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", script], "detached": true}));
    stream.wait_for("started");
    drop(stream);
    eventually("only the command is counted", || {
        let activity = sandboxd.activity();
        (activity.commands, activity.requests) == (1, 0)
    });
    let done = sandboxd.workspace.path().join("done");
    eventually("it ended by itself", || {
        fs::read_to_string(&done).is_ok_and(|text| text == "0\n")
    });
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn a_detached_command_still_times_out() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let body = json!({"argv": ["sleep", duration], "detached": true, "timeout_ms": 500});
    let stream = sandboxd.begin(&body);
    eventually("it runs", || sleeping(&duration).len() == 1);
    drop(stream);
    eventually("it timed out", || sleeping(&duration).is_empty());
}

#[test]
fn one_that_leaves_after_the_exit_ends_nothing() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let script = format!("sleep {duration} & echo started");
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", script]}));
    while stream.next().unwrap().kind != "exit" {}
    drop(stream);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(sleeping(&duration).len(), 1);
}

#[test]
fn one_that_does_not_read_makes_the_command_wait() {
    let sandboxd = Sandboxd::start();
    let script = "i=0; while head -c 1000000 /dev/zero; do i=$((i+1)); echo $i >written; done";
    let stream = sandboxd.begin(&json!({"argv": ["sh", "-c", script]}));
    let written = sandboxd.workspace.path().join("written");
    let megabytes = || fs::read_to_string(&written).unwrap_or_default();
    let mut last = String::new();
    eventually("it waits", || {
        thread::sleep(Duration::from_millis(500));
        std::mem::replace(&mut last, megabytes()) == last && !last.is_empty()
    });
    assert!(
        sandboxd.resident_kib() < 40 * 1024,
        "{} KiB",
        sandboxd.resident_kib()
    );
    // Others are not held up by it, and it goes on when it is read.
    assert_eq!(sandboxd.exec(&json!({"argv": ["echo"]})).code(), 0);
    let mut stream = stream;
    eventually("it goes on", || {
        stream.next().unwrap();
        megabytes() != last
    });
}

#[test]
fn many_that_stop_reading() {
    const BUFFER_BYTES: u64 = 8 << 20;
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("SANDBOX_MAX_BUFFER_BYTES", BUFFER_BYTES.to_string());
    });
    assert_eq!(sandboxd.exec(&json!({"argv": ["true"]})).code(), 0);
    let before = sandboxd.resident_kib();
    let mut streams: Vec<_> = (0..10)
        .map(|_| sandboxd.begin(&json!({"argv": ["yes"]})))
        .collect();
    // More than a log keeps: all logs are full, however much the kernel holds.
    for stream in &mut streams {
        let mut read = 0;
        while read < 3 << 20 {
            read += stream.next().expect("output").bytes().len();
        }
    }
    thread::sleep(Duration::from_secs(1));
    let grown = sandboxd.resident_kib().saturating_sub(before);
    // Twice as much, for what the allocator keeps. Ten whole logs are 30 MiB.
    let limit = 2 * BUFFER_BYTES / 1024;
    assert!(grown < limit, "grew by {grown} KiB, and the limit is {limit} KiB");
    drop(streams);
    eventually("all are gone", || !sandboxd.activity().is_busy());
}
