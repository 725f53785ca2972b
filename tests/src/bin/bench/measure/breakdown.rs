//! Where the time of one exec goes. Every part is the difference of two calls of the same round, of
//! which one does all that the other does and one thing more:
//!
//! | part | is | less |
//! | --- | --- | --- |
//! | worker | `GET /health` | an answer of a bare HTTP server |
//! | object | `GET running` | `GET /health` |
//! | tunnel | `GET` of a file of one byte | `GET running` |
//! | spawn | exec at sandboxd | that file at sandboxd |
//! | stream, and the rest | exec | that file, and spawn |
//!
//! With the bare server's answer they add up to the whole. On the local runtime `running` asks
//! `sandbox-local`, which is a hop like the one to sandboxd: there the tunnel is within the
//! object's number.

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{OBJECT, SPAWN, STREAM, TUNNEL, WORKER};
use crate::series::{Miss, Sample, Series};
use crate::side::Side;
use crate::turns::in_turns;

use super::daemon::Daemon;
use super::host::Loopback;

/// The lines of this module.
pub const LINES: [&Line; 5] = [&WORKER, &OBJECT, &TUNNEL, &SPAWN, &STREAM];

/// Measures the parts on a bridge of this machine: the way to another one would be in all of them.
pub async fn measure(bench: &mut Bench) {
    if !bench.wants(&LINES) {
        return;
    }
    if bench.sides[0].client.bridge.pid.is_none() {
        return without(bench, &Miss::Unobservable("not on this machine"));
    }
    let (daemon, loopback) = match (Daemon::start(), Loopback::start().await) {
        (Ok(daemon), Ok(loopback)) => (daemon, loopback),
        (Err(miss), _) => return without(bench, &miss),
        (_, Err(e)) => return without(bench, &Miss::failed(e)),
    };
    let side = &bench.sides[0];
    if let Err(miss) = side
        .exec(&side.sandbox)
        .run(&["sh", "-c", "printf x >small"])
        .await
    {
        return without(bench, &miss);
    }
    let parts = in_turns(
        &bench.sides[..1],
        bench.rounds(300),
        async |side: &Side| match parts(side, &daemon, &loopback).await {
            Ok(parts) => parts.map(Ok),
            Err(miss) => std::array::from_fn(|_| Err(miss.clone())),
        },
    )
    .await;
    for (line, series) in LINES.into_iter().zip(parts) {
        bench.add(line, series);
    }
}

async fn parts(side: &Side, daemon: &Daemon, loopback: &Loopback) -> Result<[f64; 5], Miss> {
    let in_sandbox = |rest: &str| format!("/v1/sandbox/{}/{rest}", side.sandbox);
    let server: Sample = loopback.get(0).await;
    let health = side.get("/health").await?;
    let running = side.get(&in_sandbox("running")).await?;
    let file = side.get(&in_sandbox("file/workspace/small")).await?;
    let file_there = daemon.read_file().await?;
    let exec_there = daemon.exec().time(&["true"]).await?;
    let exec = side.exec(&side.sandbox).time(&["true"]).await?;
    let worker = health - server?;
    let spawn = exec_there - file_there;
    Ok([
        worker,
        running - health,
        file - running,
        spawn,
        exec - file - spawn,
    ])
}

fn without(bench: &mut Bench, miss: &Miss) {
    for line in LINES {
        bench.add(line, vec![Series::without(miss.clone())]);
    }
}
