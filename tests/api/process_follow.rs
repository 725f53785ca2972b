//! Many followers of one process.

use std::time::{Duration, Instant};

use sandbar_tests::Process;
use serde_json::json;

use crate::sandbox;

/// Writes 20 MB, more than is on its way to a client that reads nothing, and then the time that this took, in seconds.
const WRITER: &str = r#"
    use Time::HiRes "time"; my $started = time; my $block = "x" x 65535 . "\n";
    for (1 .. 300) { syswrite(STDOUT, $block); select(undef, undef, undef, 0.001) }
    printf("\ntook %.2f\n", time - $started);
"#;

/// The seconds that [`WRITER`] took.
async fn took(process: &Process) -> f64 {
    assert_eq!(process.exit().await, json!({ "exit_code": 0 }));
    let log = process.text("").await;
    let last = String::from_utf8_lossy(&log[log.len() - 40..]).into_owned();
    let (_, seconds) = last
        .trim()
        .rsplit_once("took ")
        .unwrap_or_else(|| panic!("{last}"));
    seconds.parse().expect("a number")
}

#[tokio::test]
async fn followers_that_read_nothing_slow_nobody_and_get_a_gap() {
    let sandbox = sandbox().await;
    let body = json!({ "argv": ["perl", "-e", WRITER], "log_bytes": 200_000 });
    let alone = took(&sandbox.start(&body).await).await;

    let gated = json!({
        "argv": ["sh", "-c", "until [ -e go ]; do sleep 0.02; done; exec perl -e \"$0\"", WRITER],
        "log_bytes": 200_000,
    });
    let process = sandbox.start(&gated).await;
    let mut idle = Vec::new();
    let mut reading = Vec::new();
    for _ in 0..50 {
        idle.push(process.log("?follow=true").await);
        let events = process.log("?follow=true").await;
        reading.push(tokio::spawn(events.finish()));
    }
    sandbox.put("workspace/go", "").await;
    let followed = took(&process).await;
    // Generous: the machine also carries fifty copies of the output.
    assert!(followed < 5.0 * alone + 5.0, "{followed} s, alone {alone} s");
    let written = process.show().await["stdoutBytes"].as_u64().unwrap();
    let started = Instant::now();
    for reading in reading {
        let finished = reading.await.unwrap();
        assert_eq!(finished.code(), 0);
        assert!(finished.missing > 0 || finished.stdout.len() as u64 == written);
    }
    for events in idle {
        let finished = events.finish().await;
        assert_eq!(finished.code(), 0);
        assert!(
            finished.missing > 0,
            "{} of {written} bytes",
            finished.stdout.len()
        );
        assert!(finished.text().contains("took "), "it goes on behind the gap");
    }
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    sandbox.destroy().await;
}
