//! Children in the background outlive their command.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::{Sandboxd, eventually, sleeping, unique_sleep};

#[test]
fn they_do_not_delay_the_exit() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", format!("sleep {duration} & echo started")]}));
    assert_eq!((output.text().as_str(), output.code()), ("started\n", 0));
    // The shell may have ended before its child has executed its program.
    eventually("it runs", || sleeping(&duration).len() == 1);
    assert!(!sandboxd.activity().is_busy());
}

#[test]
fn they_keep_writing_without_blocking_or_ending() {
    let sandboxd = Sandboxd::start();
    // More than every pipe and buffer on the way can hold.
    let script = "(sleep 0.3; head -c 8000000 /dev/zero && echo $? >done) & echo started";
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script]}));
    assert_eq!(output.text(), "started\n");
    let done = sandboxd.workspace.path().join("done");
    eventually("it wrote everything", || {
        fs::read_to_string(&done).is_ok_and(|text| text == "0\n")
    });
}

#[test]
fn one_that_never_stops_writing_does_not_delay_the_exit() {
    let sandboxd = Sandboxd::start();
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", "yes & sleep 0.2; echo >&2 own"]}));
    assert_eq!((output.stderr().as_str(), output.code()), ("own\n", 0));
    assert!(output.took < Duration::from_secs(5), "{:?}", output.took);
}

#[test]
fn all_that_the_command_wrote_comes_before_the_exit() {
    let sandboxd = Sandboxd::start();
    for _ in 0..20 {
        let output =
            sandboxd.exec(&json!({"argv": ["sh", "-c", "sleep 5 & head -c 200000 /dev/zero; echo end >&2"]}));
        assert_eq!(
            (output.stdout().len(), output.stderr().as_str()),
            (200_000, "end\n")
        );
    }
}
