//! Snapshots: saves and restores, a start with a restore beside one without, and a file of a sandbox
//! that sleeps.

use std::cell::RefCell;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use super::tar_stream::Shape;
use super::workerd::{NOT_HERE, Workerd};
use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{
    SNAPSHOT_ASLEEP, SNAPSHOT_MEMORY, SNAPSHOT_RESTORE, SNAPSHOT_SAVE, SNAPSHOT_START, SNAPSHOT_TREE,
    START_RESTORED, START_STOPPED,
};
use crate::series::{Miss, Sample, Series};
use crate::side::{Side, accepted, count, offered, send, with_body};
use crate::time::{mb_per_s, ms_since};
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 8] = [
    &SNAPSHOT_SAVE,
    &SNAPSHOT_MEMORY,
    &SNAPSHOT_RESTORE,
    &SNAPSHOT_TREE,
    &START_RESTORED,
    &START_STOPPED,
    &SNAPSHOT_START,
    &SNAPSHOT_ASLEEP,
];

const MIB: usize = 1 << 20;

/// Measures snapshots.
pub async fn measure(bench: &mut Bench) {
    let large = Shape {
        files: 200,
        size: 1024 * MIB / 200,
    };
    if bench.wants(&[&SNAPSHOT_MEMORY]) {
        let memory = memory(&bench.sides[0], large).await;
        bench.add(&SNAPSHOT_MEMORY, vec![memory]);
    }
    if bench.wants(&[&SNAPSHOT_SAVE, &SNAPSHOT_RESTORE]) {
        let [save, restore] = in_turns(&bench.sides, bench.rounds(3), async |side: &Side| {
            rates(side, large).await
        })
        .await;
        bench.add(&SNAPSHOT_SAVE, save);
        bench.add(&SNAPSHOT_RESTORE, restore);
    }
    if bench.wants(&[&SNAPSHOT_TREE]) {
        let sandboxes = RefCell::default();
        let [tree] = in_turns(&bench.sides, bench.rounds(5), async |side| {
            [tree(side, &sandboxes).await]
        })
        .await;
        for (side, sandbox) in sandboxes.take() {
            let _ = side.destroy(&sandbox).await;
        }
        bench.add(&SNAPSHOT_TREE, tree);
    }
    if bench.wants(&[&START_RESTORED, &START_STOPPED, &SNAPSHOT_START, &SNAPSHOT_ASLEEP]) {
        let [restored, stopped, asleep] = in_turns(&bench.sides, bench.rounds(10), async |side: &Side| {
            starts(side).await
        })
        .await;
        bench.add(&START_RESTORED, restored.clone());
        bench.add(&START_STOPPED, stopped.clone());
        bench.add_beside(&SNAPSHOT_START, (&restored, &stopped), Series::above);
        bench.add(&SNAPSHOT_ASLEEP, asleep);
    }
}

async fn create(side: &Side, body: Value) -> Result<String, Miss> {
    let request = side.client.request(Method::POST, "/v1/sandbox").json(&body);
    let created: Value = accepted(send(request).await?)
        .await?
        .json()
        .await
        .map_err(Miss::failed)?;
    Ok(created["id"].as_str().unwrap_or_default().to_owned())
}

/// Saves the workspace: the id of the snapshot, and the time in milliseconds.
async fn save(side: &Side, sandbox: &str) -> Result<(String, f64), Miss> {
    let started = Instant::now();
    let request = side.request(sandbox, Method::POST, "/snapshot").json(&json!({}));
    let made: Value = offered(send(request).await?)
        .await?
        .json()
        .await
        .map_err(Miss::failed)?;
    let took = ms_since(started);
    match made["id"].as_str() {
        Some(id) => Ok((id.to_owned(), took)),
        None => Err(Miss::Failed(made.to_string())),
    }
}

/// Restores a snapshot: the time in milliseconds.
async fn restore(side: &Side, sandbox: &str, id: &str) -> Sample {
    let started = Instant::now();
    let request = side
        .request(sandbox, Method::POST, "/restore")
        .json(&json!({ "snapshot": id }));
    let restored: Value = accepted(send(request).await?)
        .await?
        .json()
        .await
        .map_err(Miss::failed)?;
    match restored["id"] == id {
        true => Ok(ms_since(started)),
        false => Err(Miss::Failed(restored.to_string())),
    }
}

async fn forget(side: &Side, id: &str) -> Result<(), Miss> {
    let request = side.client.request(Method::DELETE, &format!("/v1/snapshot/{id}"));
    send(request).await.map(drop)
}

/// The most memory of workerd above idle during two saves and restores, in mebibytes.
async fn memory(side: &Side, shape: Shape) -> Series {
    let Some(workerd) = Workerd::of(side) else {
        return Series::without(NOT_HERE);
    };
    let mut series = Series::default();
    for _ in 0..2 {
        let ([saved, restored], peak) = workerd.peak_during(rates(side, shape)).await;
        series.add(saved.and(restored).map(|_| peak));
    }
    series
}

/// MB/s of a save and of a restore.
async fn rates(side: &Side, shape: Shape) -> [Sample; 2] {
    let measured = async {
        let sandbox = side.create().await?;
        side.exec(&sandbox).run(&["sh", "-c", &shape.script()]).await?;
        let (id, saved) = save(side, &sandbox).await?;
        let restored = restore(side, &sandbox, &id).await?;
        forget(side, &id).await?;
        side.destroy(&sandbox).await?;
        let rate = |ms: f64| mb_per_s(shape.bytes(), std::time::Duration::from_secs_f64(ms / 1e3));
        Ok((rate(saved), rate(restored)))
    };
    match measured.await {
        Ok((save, restore)) => [Ok(save), Ok(restore)],
        Err(miss) => [Err(Miss::clone(&miss)), Err(miss)],
    }
}

/// How many times the time of a hydrate a restore of 20,000 files takes, both in a new sandbox. The
/// caller destroys the sandboxes when all have been measured: ext4 is many times slower at making files
/// within seconds after others were deleted.
async fn tree<'s>(side: &'s Side, sandboxes: &RefCell<Vec<(&'s Side, String)>>) -> Sample {
    let shape = Shape {
        files: 20_000,
        size: 1024,
    };
    let running = async || {
        let sandbox = side.create().await?;
        side.exec(&sandbox).run(&["true"]).await?;
        sandboxes.borrow_mut().push((side, sandbox.clone()));
        Ok::<_, Miss>(sandbox)
    };
    let (first, second) = (running().await?, running().await?);
    let request = side.request(&first, Method::POST, "/hydrate");
    let request = with_body(request, shape.archive_bytes(), shape.archive()?);
    let started = Instant::now();
    count(offered(send(request).await?).await?).await?;
    let hydrated = ms_since(started);
    let (id, _) = save(side, &first).await?;
    let restored = restore(side, &second, &id).await?;
    forget(side, &id).await?;
    Ok(restored / hydrated)
}

/// Milliseconds of a start that restores 50 MiB, of one that restores nothing, and of a small file of
/// the sandbox while it sleeps.
async fn starts(side: &Side) -> [Sample; 3] {
    let measured = async {
        let saving = create(side, json!({ "autoSave": { "on": "sleep" } })).await?;
        let shape = Shape { files: 50, size: MIB };
        let fill = format!("{} && echo small > small", shape.script());
        side.exec(&saving).run(&["sh", "-c", &fill]).await?;
        let plain = create(side, json!({ "labels": { "bench": "plain" } })).await?;
        side.exec(&plain).run(&["true"]).await?;
        let mut times = Vec::new();
        for sandbox in [&saving, &plain] {
            let stop = side.request(sandbox, Method::POST, "/stop");
            send(stop).await?;
        }
        // The first one reads the index.
        side.get(&format!("/v1/sandbox/{saving}/file/workspace/small"))
            .await?;
        let asleep = side
            .get(&format!("/v1/sandbox/{saving}/file/workspace/small"))
            .await?;
        for sandbox in [&saving, &plain] {
            times.push(side.exec(sandbox).time(&["true"]).await?);
            side.destroy(sandbox).await?;
        }
        Ok::<_, Miss>((times, asleep))
    };
    match measured.await {
        Ok((times, asleep)) => match times.as_slice() {
            [restored, plain] => [Ok(*restored), Ok(*plain), Ok(asleep)],
            _ => [(); 3].map(|()| Err(Miss::NotOffered)),
        },
        Err(miss) => [(); 3].map(|()| Err(miss.clone())),
    }
}
