//! Many clients on one sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::line::{Line, Unit};
use crate::lines::{LATENCY_32, LATENCY_512, RATE_1, RATE_32, RATE_512, SPREAD_512};
use crate::series::{Miss, Sample, Series};
use crate::side::{Exec, MEASUREMENT_TIMEOUT};
use crate::turns::{Rounds, order};

/// The lines of this module.
pub const LINES: [&Line; 6] = [
    &RATE_1,
    &RATE_32,
    &LATENCY_32,
    &RATE_512,
    &LATENCY_512,
    &SPREAD_512,
];

/// The results of several clients. Each makes its next call as soon as its last has ended, until
/// none is left.
pub struct Burst {
    /// Milliseconds of each call, or how it failed.
    pub calls: Vec<Sample>,
    took: Duration,
}

impl Burst {
    /// Lets `clients` execute `total` times `true`.
    pub async fn run_execs(exec: &Exec, clients: usize, total: usize) -> Self {
        let exec = exec.clone();
        let call = move || {
            let exec = exec.clone();
            async move { exec.time(&["true"]).await }
        };
        Self::run(clients, total, call).await
    }

    /// Lets `clients` make `total` calls.
    pub async fn run<F>(clients: usize, total: usize, call: impl Fn() -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Sample> + Send + 'static,
    {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut running = JoinSet::new();
        let started = Instant::now();
        for _ in 0..clients {
            let (call, taken) = (call.clone(), Arc::clone(&taken));
            running.spawn(async move {
                let mut calls = Vec::new();
                while taken.fetch_add(1, Ordering::Relaxed) < total {
                    let ended = tokio::time::timeout(MEASUREMENT_TIMEOUT, call()).await;
                    calls.push(ended.unwrap_or_else(|_| Err(Miss::Failed("no end".into()))));
                }
                calls
            });
        }
        let calls = running.join_all().await.concat();
        Self {
            calls,
            took: started.elapsed(),
        }
    }

    /// Calls that succeeded, a second.
    pub fn rate(&self) -> Sample {
        let succeeded = self.calls.iter().filter(|call| call.is_ok()).count();
        match self.calls.iter().find_map(|call| call.as_ref().err()) {
            Some(miss) if succeeded == 0 => Err(miss.clone()),
            _ => Ok(succeeded as f64 / self.took.as_secs_f64()),
        }
    }
}

/// The series of some clients on one side.
#[derive(Default, Clone)]
struct Load {
    rate: Series,
    latency: Series,
    /// How much longer than usual the slowest took, a round.
    spread: Series,
}

impl Load {
    fn add(&mut self, burst: &Burst) {
        self.rate.add(burst.rate());
        let mut latency = Series::default();
        for call in &burst.calls {
            latency.add(call.clone());
            self.latency.add(call.clone());
            if let Err(miss) = call {
                // The rate is that of the others: without its errors it would look better than it
                // was.
                self.rate.warm_up(Err(miss.clone()));
            }
        }
        if let (Some(p50), Some(p99)) = (latency.median(Unit::Ms), latency.percentile(99, Unit::Ms)) {
            self.spread.add(Ok(p99 / p50));
        }
    }
}

/// Measures 1, 32 and 512 clients.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&RATE_1]) {
        let loads = loads(bench, 1, 500).await;
        bench.add(&RATE_1, loads.into_iter().map(|load| load.rate).collect());
    }
    if bench.wants(&[&RATE_32, &LATENCY_32]) {
        let loads = loads(bench, 32, 1_000).await;
        bench.add(&RATE_32, loads.iter().map(|load| load.rate.clone()).collect());
        bench.add(&LATENCY_32, loads.into_iter().map(|load| load.latency).collect());
    }
    if bench.wants(&[&RATE_512, &LATENCY_512, &SPREAD_512]) {
        let loads = loads(bench, 512, 4 * 512).await;
        bench.add(&RATE_512, loads.iter().map(|load| load.rate.clone()).collect());
        bench.add(
            &LATENCY_512,
            loads.iter().map(|load| load.latency.clone()).collect(),
        );
        bench.add(&SPREAD_512, loads.into_iter().map(|load| load.spread).collect());
    }
}

async fn loads(bench: &Bench, clients: usize, total: usize) -> Vec<Load> {
    let Rounds { warm_up, counted } = bench.rounds(5);
    let mut loads = vec![Load::default(); bench.sides.len()];
    for round in 0..warm_up + counted {
        for index in order(bench.sides.len(), round) {
            let side = &bench.sides[index];
            let burst = Burst::run_execs(&side.exec(&side.sandbox), clients, total).await;
            if round >= warm_up {
                loads[index].add(&burst);
            } else {
                // Its connections are kept. What went wrong while they were made counts.
                let errors = burst.calls.into_iter().filter(Result::is_err);
                errors.for_each(|error| loads[index].latency.add(error));
            }
        }
    }
    loads
}
