//! A sandbox from the warm pool, on a bridge of its own where the bench starts bridges.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::Bridge;
use serde_json::Value;
use tokio::time::sleep;

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::WARM;
use crate::series::{Miss, Sample, Series};
use crate::side::{Side, offered, send};
use crate::turns::in_turns;

use super::life::create;

/// The lines of this module.
pub const LINES: [&Line; 1] = [&WARM];

/// How long the pool may take to have something ready.
const FILLING: Duration = Duration::from_secs(60);

/// Measures a bridge with a pool in the place of the one that was started without; others as they
/// are.
pub async fn measure(bench: &mut Bench) {
    if !bench.wants(&LINES) {
        return;
    }
    let mut sides = Vec::new();
    for side in &bench.sides {
        let own = bench.runtime.filter(|_| side.client.bridge.pid.is_some());
        let bridge = match own {
            Some(runtime) => Bridge::start_on(runtime, &[("WARM_POOL_TARGET", "2")]),
            None => side.client.bridge.clone(),
        };
        match Side::open(&bridge).await {
            Ok(side) => sides.push(side),
            Err(miss) => return bench.add(&WARM, vec![Series::without(miss)]),
        }
    }
    let [series] = in_turns(&sides, bench.rounds(30), async |side: &Side| [warm(side).await]).await;
    for side in &sides {
        let _ = side.destroy(&side.sandbox).await;
    }
    bench.add(&WARM, series);
}

async fn warm(side: &Side) -> Sample {
    let started = Instant::now();
    while waiting(side).await? == 0 {
        if started.elapsed() > FILLING {
            return Err(Miss::Failed("the pool does not fill".into()));
        }
        sleep(Duration::from_millis(50)).await;
    }
    // The pool's object reports a sandbox before its start has fully ended.
    sleep(Duration::from_millis(200)).await;
    let (id, took) = create(side).await?;
    side.destroy(&id).await?;
    Ok(took)
}

/// How many sandboxes wait. A bridge whose pool is off does not offer it.
async fn waiting(side: &Side) -> Result<u64, Miss> {
    let call = |method, name: &str| side.client.request(method, &format!("/v1/pool/{name}"));
    offered(send(call(Method::POST, "prime")).await?).await?;
    let stats: Value = offered(send(call(Method::GET, "stats")).await?)
        .await?
        .json()
        .await
        .map_err(Miss::failed)?;
    if stats["config"]["warmTarget"].as_u64() == Some(0) {
        return Err(Miss::NotOffered);
    }
    stats["warm"]
        .as_u64()
        .ok_or_else(|| Miss::Failed(format!("no number of waiting sandboxes in {stats}")))
}
