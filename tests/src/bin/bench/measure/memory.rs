//! Whether memory grows with the number of calls: in the sandbox's `sandboxd`, and in workerd.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{SANDBOXD_RSS, SANDBOXD_SLOPE, WORKERD_BASE, WORKERD_RSS, WORKERD_SLOPE};
use crate::series::{Miss, Series, slope};
use crate::side::{Side, accepted, send, time_of};

use super::clients::Burst;
use super::processes::{descendants, sandboxd, sum_rss_mib};

/// The lines of this module.
pub const LINES: [&Line; 5] = [
    &WORKERD_BASE,
    &WORKERD_RSS,
    &WORKERD_SLOPE,
    &SANDBOXD_RSS,
    &SANDBOXD_SLOPE,
];

/// How many calls count, and how many go before: V8's heap takes its size within some 16,000 calls,
/// and then keeps it.
const CALLS: usize = 10_000;
const WARM_UP: usize = 20_000;

/// Calls between two readings, and how many clients share them.
const STEP: usize = 250;
const CLIENTS: usize = 8;

/// Reads the memory of processes while calls are made.
struct Watch {
    workerds: Vec<u32>,
    daemon: Vec<u32>,
}

/// The readings: mebibytes after a number of calls.
#[derive(Default)]
struct Readings {
    workerds: Vec<(f64, f64)>,
    daemon: Vec<(f64, f64)>,
    /// Holds the errors only.
    errors: Series,
}

/// Measures the first side: calls that end in the Worker first, which leave heaps as large as any
/// call makes them.
pub async fn measure(bench: &mut Bench) {
    if bench.flags.quick || !bench.wants(&LINES) {
        return;
    }
    let side = &bench.sides[0];
    let boot_id = boot_id(side).await.unwrap_or_default();
    let watch = Watch {
        workerds: side
            .client
            .bridge
            .pid
            .map_or(Vec::new(), |pid| descendants(pid, "workerd")),
        daemon: sandboxd(&boot_id).into_iter().collect(),
    };
    let health = Arc::new(side.client.request(Method::GET, "/health"));
    let healths = async || {
        let health = Arc::clone(&health);
        let call = move || {
            let health = health.try_clone().ok_or(Miss::Failed("no request".into()));
            async move { time_of(health?).await }
        };
        Burst::run(CLIENTS, STEP, call).await
    };
    let exec = side.exec(&side.sandbox);
    let of_health = watch.while_calling(healths).await;
    let of_exec = watch
        .while_calling(async || Burst::run_execs(&exec, CLIENTS, STEP).await)
        .await;
    bench.add(
        &WORKERD_BASE,
        vec![growth(&of_health.workerds, &of_health.errors)],
    );
    bench.add(&WORKERD_RSS, vec![memory(&of_exec.workerds, &of_exec.errors)]);
    bench.add(&WORKERD_SLOPE, vec![growth(&of_exec.workerds, &of_exec.errors)]);
    bench.add(&SANDBOXD_RSS, vec![memory(&of_exec.daemon, &of_exec.errors)]);
    bench.add(&SANDBOXD_SLOPE, vec![growth(&of_exec.daemon, &of_exec.errors)]);
}

impl Watch {
    async fn while_calling(&self, step: impl AsyncFn() -> Burst) -> Readings {
        let mut readings = Readings::default();
        if self.workerds.is_empty() && self.daemon.is_empty() {
            return readings;
        }
        for done in (STEP..=WARM_UP + CALLS).step_by(STEP) {
            let burst = step().await;
            burst
                .calls
                .into_iter()
                .for_each(|call| readings.errors.warm_up(call));
            let read = |pids: &[u32]| sum_rss_mib(pids).filter(|_| done > WARM_UP);
            readings
                .workerds
                .extend(read(&self.workerds).map(|mib| (done as f64, mib)));
            readings
                .daemon
                .extend(read(&self.daemon).map(|mib| (done as f64, mib)));
        }
        readings
    }
}

fn memory(readings: &[(f64, f64)], errors: &Series) -> Series {
    told(readings.iter().map(|reading| reading.1), errors)
}

/// Bytes a call.
fn growth(readings: &[(f64, f64)], errors: &Series) -> Series {
    told(
        slope(readings).map(|mib| mib * 1024.0 * 1024.0).into_iter(),
        errors,
    )
}

fn told(numbers: impl Iterator<Item = f64>, errors: &Series) -> Series {
    let mut series = errors.clone();
    numbers.for_each(|number| series.add(Ok(number)));
    if series.len() == 0 {
        return Series::without(Miss::Unobservable("not on this machine"));
    }
    series
}

/// The boot behind the side's sandbox.
async fn boot_id(side: &Side) -> Result<String, Miss> {
    let request = side.request(&side.sandbox, Method::POST, "/exec");
    let response = accepted(send(request.json(&json!({ "argv": ["true"] }))).await?).await?;
    let id = response
        .headers()
        .get("sandbox-boot-id")
        .and_then(|id| id.to_str().ok());
    id.map(str::to_owned).ok_or(Miss::NotOffered)
}
