//! `sandboxd` alone: the time to its first answer, its rate of execs without a Worker, its memory.

use std::time::Duration;

use tokio::time::sleep;

use crate::bench::Bench;
use crate::line::Limit;
use crate::lines::{
    FORK_EXEC, SANDBOXD_32, SANDBOXD_AFTER, SANDBOXD_EXEC, SANDBOXD_IDLE, SANDBOXD_LOAD, SANDBOXD_START,
    SANDBOXD_UNREAD,
};
use crate::series::{Miss, Sample, Series};
use crate::turns::{Rounds, repeated};

use super::clients::Burst;
use super::daemon::Daemon;

/// The share that 32 clients have to reach of the machine's own rate with two threads.
const SHARE: f64 = 0.5;

/// Measures a `sandboxd` that is started outside any sandbox. `fork_exec` is the machine's own
/// rate.
pub async fn measure(bench: &mut Bench, fork_exec: Option<f64>) {
    start(bench);
    idle(bench).await;
    unread(bench).await;
    let of_load = [&SANDBOXD_EXEC, &SANDBOXD_32, &SANDBOXD_LOAD, &SANDBOXD_AFTER];
    if bench.wants(&of_load) {
        match Daemon::start() {
            Ok(daemon) => load(bench, &daemon, fork_exec).await,
            Err(miss) => of_load
                .into_iter()
                .for_each(|line| bench.add(line, vec![Series::without(miss.clone())])),
        }
    }
}

fn start(bench: &mut Bench) {
    if bench.wants(&[&SANDBOXD_START]) {
        let starts = repeated(bench.rounds(21), || Daemon::start().map(|daemon| daemon.started));
        bench.add(&SANDBOXD_START, vec![starts]);
    }
}

async fn idle(bench: &mut Bench) {
    if !bench.wants(&[&SANDBOXD_IDLE]) {
        return;
    }
    let mut series = Series::default();
    for _ in 0..3 {
        match Daemon::start() {
            Ok(daemon) => {
                sleep(Duration::from_secs(1)).await;
                series.add(daemon.rss_mib());
            }
            Err(miss) => series.add(Err(miss)),
        }
    }
    bench.add(&SANDBOXD_IDLE, vec![series]);
}

async fn unread(bench: &mut Bench) {
    if !bench.wants(&[&SANDBOXD_UNREAD]) {
        return;
    }
    let mut series = Series::default();
    for _ in 0..3 {
        series.add(most_unread().await);
    }
    bench.add(&SANDBOXD_UNREAD, vec![series]);
}

async fn most_unread() -> Sample {
    let daemon = Daemon::start()?;
    let _unread = daemon.exec_unread("yes").map_err(Miss::failed)?;
    most(&daemon, sleep(Duration::from_secs(3))).await.1
}

async fn load(bench: &mut Bench, daemon: &Daemon, fork_exec: Option<f64>) {
    let Rounds { warm_up, counted } = bench.rounds(300);
    let mut one = Series::default();
    for round in 0..warm_up + counted {
        let sample = daemon.exec().time(&["true"]).await;
        if round < warm_up {
            one.warm_up(sample)
        } else {
            one.add(sample)
        }
    }
    bench.add(&SANDBOXD_EXEC, vec![one]);

    let Rounds { warm_up, counted } = bench.rounds(5);
    let (mut rate, mut memory) = (Series::default(), Series::default());
    for round in 0..warm_up + counted {
        let (burst, most) = most(daemon, Burst::run_execs(&daemon.exec(), 32, 2_000)).await;
        if round >= warm_up {
            rate.add(burst.rate());
            memory.add(most);
        }
        let errors = burst.calls.into_iter().filter(Result::is_err);
        errors.for_each(|error| rate.warm_up(error));
    }
    let limit = fork_exec.map(|rate| Limit {
        value: rate * SHARE,
        unit: FORK_EXEC.unit,
    });
    bench.add_with(&SANDBOXD_32, limit, vec![rate]);
    bench.add(&SANDBOXD_LOAD, vec![memory]);
    if bench.wants(&[&SANDBOXD_AFTER]) {
        sleep(Duration::from_secs(1)).await;
        let once = Rounds {
            warm_up: 0,
            counted: 1,
        };
        bench.add(&SANDBOXD_AFTER, vec![repeated(once, || daemon.rss_mib())]);
    }
}

/// Waits for something; gives it, and the most memory that `sandboxd` held meanwhile.
async fn most<T>(daemon: &Daemon, something: impl Future<Output = T>) -> (T, Sample) {
    let mut something = std::pin::pin!(something);
    let mut most = daemon.rss_mib();
    loop {
        tokio::select! {
            done = &mut something => return (done, most),
            () = sleep(Duration::from_millis(20)) => {
                most = most.and_then(|most| Ok(most.max(daemon.rss_mib()?)));
            }
        }
    }
}
