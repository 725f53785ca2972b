//! The workspace as an archive, out and in. Rates are of the files' bytes; what the archive adds is
//! not counted.

use std::time::Instant;

use reqwest::{Method, RequestBuilder};

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{HYDRATE_1G, HYDRATE_25M, HYDRATE_200M, PERSIST_1G, PERSIST_25M, PERSIST_200M};
use crate::series::{Miss, Sample};
use crate::side::{Side, count, offered, send, with_body};
use crate::time::mb_per_s;
use crate::turns::in_turns;

use super::tar_stream::Shape;

/// The lines of this module.
pub const LINES: [&Line; 6] = [
    &PERSIST_25M,
    &HYDRATE_25M,
    &PERSIST_200M,
    &HYDRATE_200M,
    &PERSIST_1G,
    &HYDRATE_1G,
];

const MIB: usize = 1 << 20;

/// Measures each shape of workspace.
pub async fn measure(bench: &mut Bench) {
    for (files, bytes, rounds, persist_line, hydrate_line) in [
        (500, 25 * MIB, 15, &PERSIST_25M, &HYDRATE_25M),
        (200, 200 * MIB, 7, &PERSIST_200M, &HYDRATE_200M),
        (20_000, 1024 * MIB, 3, &PERSIST_1G, &HYDRATE_1G),
    ] {
        let is_too_slow = bench.flags.quick && bytes > 200 * MIB;
        if is_too_slow || !bench.wants(&[persist_line, hydrate_line]) {
            continue;
        }
        let shape = Shape {
            files,
            size: bytes / files,
        };
        for side in &bench.sides {
            if let Err(miss) = fill(side, shape).await {
                eprintln!("the files of {}: {miss}", side.client.bridge.url);
            }
        }
        let [persist] = in_turns(&bench.sides, bench.rounds(rounds), async |side: &Side| {
            [persist(side, shape).await]
        })
        .await;
        bench.add(persist_line, persist);
        empty(&bench.sides).await;
        let [hydrate] = in_turns(&bench.sides, bench.rounds(rounds), async |side: &Side| {
            [hydrate(side, shape).await]
        })
        .await;
        bench.add(hydrate_line, hydrate);
        empty(&bench.sides).await;
    }
}

/// Makes the files and nothing else in the workspace, where archives are offered: an empty one is
/// tried first.
async fn fill(side: &Side, shape: Shape) -> Result<(), Miss> {
    let exec = side.exec(&side.sandbox);
    exec.run(&["sh", "-c", CLEAR]).await?;
    match persist(side, Shape { files: 0, size: 0 }).await {
        Err(Miss::NotOffered) => return Ok(()),
        tried => tried?,
    };
    exec.run(&["sh", "-c", &shape.script()]).await?;
    Ok(())
}

/// Removes everything in the workspace.
const CLEAR: &str = "cd /workspace && find . -mindepth 1 -delete";

async fn empty(sides: &[Side]) {
    for side in sides {
        // It is for room on the disk only.
        let _ = side.exec(&side.sandbox).run(&["sh", "-c", CLEAR]).await;
    }
}

/// MB/s of the workspace as an archive, which has to hold at least the files' bytes.
async fn persist(side: &Side, shape: Shape) -> Sample {
    let started = Instant::now();
    let response = offered(send(call(side, "/persist")).await?).await?;
    let got = count(response).await?;
    if got > shape.bytes() {
        Ok(mb_per_s(shape.bytes(), started.elapsed()))
    } else {
        Err(Miss::Failed(format!("an archive of {got} bytes")))
    }
}

/// MB/s of unpacking an archive of that shape.
async fn hydrate(side: &Side, shape: Shape) -> Sample {
    let request = with_body(call(side, "/hydrate"), shape.archive_bytes(), shape.archive()?);
    let started = Instant::now();
    count(offered(send(request).await?).await?).await?;
    Ok(mb_per_s(shape.bytes(), started.elapsed()))
}

fn call(side: &Side, rest: &str) -> RequestBuilder {
    side.request(&side.sandbox, Method::POST, rest)
}
