//! How much memory workerd takes for a large body: all requests of an isolate share 128 MB.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use sandbox_protocol::exec::MAX_BODY;
use serde_json::json;
use tokio::time::timeout;

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::WORKERD_BODY;
use crate::series::{Miss, Series};
use crate::side::{Side, time_of};

use super::processes::{descendants, sum_rss_mib};

/// The lines of this module.
pub const LINES: [&Line; 1] = [&WORKERD_BODY];

/// How many such execs, one after another.
const EXECS: usize = 5;

/// The time between two readings of the memory.
const INTERVAL: Duration = Duration::from_millis(2);

/// Measures the first side.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&LINES) {
        let peaks = peaks(&bench.sides[0]).await;
        bench.add(&WORKERD_BODY, vec![peaks]);
    }
}

/// The most memory above that before the first exec, in mebibytes, while an exec with as much
/// `stdin` as it may have is sent and runs.
async fn peaks(side: &Side) -> Series {
    let workerds = side.client.bridge.pid.map(|pid| descendants(pid, "workerd"));
    let workerds = workerds.unwrap_or_default();
    let Some(idle) = sum_rss_mib(&workerds) else {
        return Series::without(Miss::Unobservable("not on this machine"));
    };
    let body = json!({ "argv": ["wc", "-c"], "stdin": "x".repeat(MAX_BODY - 1024) });
    let body = Bytes::from(body.to_string());
    let mut series = Series::default();
    for _ in 0..EXECS {
        let request = side.request(&side.sandbox, Method::POST, "/exec");
        let mut call = pin!(time_of(request.body(body.clone())));
        let mut peak = idle;
        let sample = loop {
            match timeout(INTERVAL, &mut call).await {
                Ok(ended) => break ended.map(|_| peak - idle),
                Err(_) => peak = sum_rss_mib(&workerds).unwrap_or(idle).max(peak),
            }
        };
        series.add(sample);
    }
    series
}
