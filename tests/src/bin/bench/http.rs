//! The API, as a client on this machine sees it.

use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sandbar_tests::sse::Item;
use sandbar_tests::{Client, Sandbox};
use serde_json::json;

use crate::report::{Limit, Report, mb_per_s, median, ms};

const LATENCIES: usize = 300;
const TRANSFERS: usize = 5;
const STDOUT_BYTES: usize = 128 << 20;
const FILE_BYTES: usize = 256 << 20;

/// Measures latencies first, on a quiet bridge, then transfers.
pub async fn measure(report: &mut Report, client: &Client) {
    let sandbox = client.create().await;
    let began = Instant::now();
    sandbox.sh("true").await;
    report.add(
        "create + first exec on a new sandbox",
        1,
        ms(began.elapsed()),
        "ms",
        Limit::None,
    );
    latencies(report, client, &sandbox).await;
    stdout(report, &sandbox).await;
    files(report, &sandbox).await;
    let began = Instant::now();
    sandbox.destroy().await;
    report.add("DELETE", 1, ms(began.elapsed()), "ms", Limit::None);
}

async fn latencies(report: &mut Report, client: &Client, sandbox: &Sandbox) {
    let (mut health, mut exec) = (Vec::new(), Vec::new());
    // In turns, so that both see the same machine; the first tenth warms up.
    for i in 0..LATENCIES + LATENCIES / 10 {
        let began = Instant::now();
        client
            .http
            .get(format!("{}/health", client.bridge.url))
            .send()
            .await
            .expect("health")
            .bytes()
            .await
            .expect("body");
        let health_took = ms(began.elapsed());
        let exec_took = exec_true(sandbox).await;
        if i >= LATENCIES / 10 {
            health.push(health_took);
            exec.push(exec_took);
        }
    }
    let (health, exec) = (median(health), median(exec));
    report.add("GET /health", LATENCIES, health, "ms", Limit::None);
    report.add("exec `true`", LATENCIES, exec, "ms", Limit::None);
    report.add(
        "exec `true` above /health",
        LATENCIES,
        exec - health,
        "ms",
        Limit::AtMost(2.5),
    );
}

/// Milliseconds from the request to the `exit` event of `true`.
async fn exec_true(sandbox: &Sandbox) -> f64 {
    let began = Instant::now();
    let mut events = sandbox.stream(&json!({ "argv": ["true"] })).await;
    let first = events.next().await;
    let took = ms(began.elapsed());
    assert!(
        matches!(&first, Some(Ok(Item::Exit(exit))) if exit["exit_code"] == 0),
        "{first:?}"
    );
    // The rest, not measured, lets the connection be used again.
    events.finish().await;
    took
}

async fn stdout(report: &mut Report, sandbox: &Sandbox) {
    let mut rates = Vec::new();
    for _ in 0..TRANSFERS {
        let began = Instant::now();
        let body = json!({ "argv": ["head", "-c", STDOUT_BYTES.to_string(), "/dev/zero"] });
        let finished = sandbox.exec(&body).await;
        assert_eq!((finished.stdout.len(), finished.code()), (STDOUT_BYTES, 0));
        rates.push(mb_per_s(STDOUT_BYTES, began.elapsed()));
    }
    report.add(
        "128 MiB of stdout, decoded, with its exit",
        TRANSFERS,
        median(rates),
        "MB/s",
        Limit::AtLeast(250.0),
    );
}

async fn files(report: &mut Report, sandbox: &Sandbox) {
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    let chunk = Bytes::from(vec![0x5a; 1 << 20]);
    for _ in 0..TRANSFERS {
        let chunks = stream::iter(vec![chunk.clone(); FILE_BYTES >> 20]).map(Ok::<_, std::io::Error>);
        let began = Instant::now();
        let written = sandbox
            .put("workspace/file", reqwest::Body::wrap_stream(chunks))
            .await;
        assert_eq!(written.status(), 200);
        puts.push(mb_per_s(FILE_BYTES, began.elapsed()));

        let began = Instant::now();
        let mut body = sandbox.get("workspace/file").await.bytes_stream();
        let mut got = 0;
        while let Some(bytes) = body.next().await {
            got += bytes.expect("a whole file").len();
        }
        assert_eq!(got, FILE_BYTES);
        gets.push(mb_per_s(FILE_BYTES, began.elapsed()));
    }
    report.add(
        "PUT of 256 MiB",
        TRANSFERS,
        median(puts),
        "MB/s",
        Limit::AtLeast(200.0),
    );
    report.add(
        "GET of 256 MiB",
        TRANSFERS,
        median(gets),
        "MB/s",
        Limit::AtLeast(200.0),
    );
}
