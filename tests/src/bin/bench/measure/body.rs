//! How much memory workerd takes for a large body: all requests of an isolate share 128 MB.

use bytes::Bytes;
use reqwest::Method;
use sandbox_protocol::exec::MAX_BODY;
use serde_json::json;

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::WORKERD_BODY;
use crate::series::Series;
use crate::side::{Side, time_of};

use super::workerd::{NOT_HERE, Workerd};

/// The lines of this module.
pub const LINES: [&Line; 1] = [&WORKERD_BODY];

/// How many such execs, one after another.
const EXECS: usize = 5;

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
    let Some(workerd) = Workerd::of(side) else {
        return Series::without(NOT_HERE);
    };
    let body = json!({ "argv": ["wc", "-c"], "stdin": "x".repeat(MAX_BODY - 1024) });
    let body = Bytes::from(body.to_string());
    let mut series = Series::default();
    for _ in 0..EXECS {
        let request = side.request(&side.sandbox, Method::POST, "/exec");
        let (ended, peak) = workerd.peak_during(time_of(request.body(body.clone()))).await;
        series.add(ended.map(|_| peak));
    }
    series
}
