//! The memory of processes that have ended.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Sandboxd, Stream};

/// The bytes that each process writes: more than fits into a log's first part.
const OUTPUT: usize = 1_100_000;

fn post(sandboxd: &Sandboxd, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (head, text) = sandboxd.raw_request(request.as_bytes());
    assert!(head.starts_with("http/1.1 200"), "{head}{text}");
    serde_json::from_str(text.trim()).unwrap()
}

/// Runs a process to its end.
fn run(sandboxd: &Sandboxd, id: &str, argv: &[&str]) {
    post(sandboxd, "/process", &json!({ "id": id, "argv": argv }));
    let end = post(
        sandboxd,
        &format!("/process/{id}/wait"),
        &json!({ "for": "exit" }),
    );
    assert_eq!(end, json!({ "state": "exited", "exit": { "exit_code": 0 } }));
}

/// Runs `count` processes to their ends, two at a time: `name` and a number are their ids.
fn run_all(sandboxd: &Sandboxd, name: &str, count: usize, argv: &[&str]) {
    thread::scope(|scope| {
        for first in 0..2 {
            scope.spawn(move || {
                let numbers = (first..count).step_by(2);
                numbers.for_each(|number| run(sandboxd, &format!("{name}{number}"), argv));
            });
        }
    });
}

/// The bytes of output in the log of a process that has ended, and the number of its gaps.
fn kept(sandboxd: &Sandboxd, id: &str) -> (usize, usize) {
    let log = Stream::get(sandboxd.connect(), &format!("/process/{id}/log")).rest();
    let gaps = log.events.iter().filter(|event| event.kind == "gap").count();
    let output = log.events.iter().filter(|event| event.kind == "stdout");
    (output.map(|event| event.bytes().len()).sum(), gaps)
}

#[test]
fn a_thousand_logs_share_their_memory_and_the_newest_are_whole() {
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("SANDBOX_MAX_BUFFER_BYTES", "33554432");
    });
    let before = sandboxd.resident_kib();
    let size = OUTPUT.to_string();
    let argv = ["head", "-c", &size, "/dev/zero"];
    // Small logs, which take none of the shared memory, are no reason to cut large ones.
    run_all(&sandboxd, "small", 300, &["echo", "x"]);
    for round in 0..3 {
        run_all(&sandboxd, &format!("large{round}."), 80, &argv);
        let newest = format!("newest{round}");
        run(&sandboxd, &newest, &argv);
        assert_eq!(kept(&sandboxd, &newest), (OUTPUT, 0), "{newest}");
    }
    let grown = sandboxd.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "grew by {grown} KiB, and logs have 16 MiB");
    // All exits are there, and what was dropped is said.
    for (id, expected) in [("small0", (2, 0)), ("large0.0", (0, 1)), ("large2.0", (0, 1))] {
        assert_eq!(kept(&sandboxd, id), expected, "{id}");
    }
    let last: Vec<_> = (0..5).map(|number| format!("last{number}")).collect();
    last.iter().for_each(|id| run(&sandboxd, id, &argv));
    for id in &last {
        assert_eq!(kept(&sandboxd, id), (OUTPUT, 0), "{id}");
    }
    let record = sandboxd.request("GET", "/process/large0.0").1;
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(
        (&record["stdoutBytes"], &record["logTruncated"]),
        (&json!(OUTPUT), &json!(true))
    );
    // Other buffers take precedence over logs.
    let input = "x".repeat(8 << 20);
    assert_eq!(
        sandboxd
            .exec(&json!({ "argv": ["wc", "-c"], "stdin": input }))
            .text(),
        "8388608\n"
    );
    // No more than a thousand are kept: the one that ended first is forgotten.
    run_all(&sandboxd, "more", 500, &["true"]);
    assert!(
        sandboxd
            .request("GET", "/process/small0")
            .0
            .starts_with("http/1.1 404")
    );
    assert!(
        sandboxd
            .request("GET", "/process/last0")
            .0
            .starts_with("http/1.1 200")
    );
}
