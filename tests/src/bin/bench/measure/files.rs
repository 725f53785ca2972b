//! Files, up and down.

use std::iter::repeat_n;
use std::time::Instant;

use bytes::Bytes;
use reqwest::Method;

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{GET_1G, GET_1K, GET_1M, GET_30M, GET_256M, PUT_1G, PUT_1K, PUT_1M, PUT_30M, PUT_256M};
use crate::series::{Miss, Sample};
use crate::side::{Side, accepted, count, send, with_body};
use crate::time::{mb_per_s, ms_since};
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 10] = [
    &PUT_1K, &GET_1K, &PUT_1M, &GET_1M, &PUT_30M, &GET_30M, &PUT_256M, &GET_256M, &PUT_1G, &GET_1G,
];

/// The file that is written again and again.
const FILE: &str = "/file/workspace/bench";

/// The bytes that a body repeats.
static CHUNK: [u8; 1 << 20] = [0x5a; 1 << 20];

/// Measures each size: writes it, reads it.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&PUT_1K, &GET_1K]) {
        let [puts, gets] = in_turns(&bench.sides, bench.rounds(300), async |side: &Side| {
            [put_time(side, 1 << 10).await, get_time(side, 1 << 10).await]
        })
        .await;
        bench.add(&PUT_1K, puts);
        bench.add(&GET_1K, gets);
    }
    for (size, rounds, put_line, get_line) in [
        (1 << 20, 100, &PUT_1M, &GET_1M),
        (30 << 20, 15, &PUT_30M, &GET_30M),
        (256 << 20, 5, &PUT_256M, &GET_256M),
        (1 << 30, 3, &PUT_1G, &GET_1G),
    ] {
        let is_too_slow = bench.flags.quick && size >= 1 << 30;
        if is_too_slow || !bench.wants(&[put_line, get_line]) {
            continue;
        }
        let [puts, gets] = in_turns(&bench.sides, bench.rounds(rounds), async |side: &Side| {
            [put(side, size).await, get(side, size).await]
        })
        .await;
        bench.add(put_line, puts);
        bench.add(get_line, gets);
    }
}

/// MB/s of writing a file.
pub async fn put(side: &Side, bytes: usize) -> Sample {
    let started = Instant::now();
    put_time(side, bytes).await?;
    Ok(mb_per_s(bytes, started.elapsed()))
}

/// MB/s of reading the file that was written last, which has `bytes` bytes.
pub async fn get(side: &Side, bytes: usize) -> Sample {
    let started = Instant::now();
    get_time(side, bytes).await?;
    Ok(mb_per_s(bytes, started.elapsed()))
}

/// Milliseconds of writing a file.
async fn put_time(side: &Side, bytes: usize) -> Sample {
    let chunk = bytes.min(CHUNK.len());
    let chunks = repeat_n(Bytes::from_static(&CHUNK[..chunk]), bytes / chunk);
    let request = side.request(&side.sandbox, Method::PUT, FILE);
    let started = Instant::now();
    let written = accepted(send(with_body(request, bytes, chunks)).await?).await?;
    count(written).await?;
    Ok(ms_since(started))
}

/// Milliseconds of reading it.
async fn get_time(side: &Side, bytes: usize) -> Sample {
    let started = Instant::now();
    let response = accepted(send(side.request(&side.sandbox, Method::GET, FILE)).await?).await?;
    let got = count(response).await?;
    if got == bytes {
        Ok(ms_since(started))
    } else {
        Err(Miss::Failed(format!("{got} of {bytes} bytes")))
    }
}
