//! Output of commands: how fast it gets to a client, decoded.

use std::time::Instant;

use crate::bench::Bench;
use crate::line::{Line, Unit};
use crate::lines::{STDOUT_1G, STDOUT_128M, STDOUT_SHARE};
use crate::series::{Miss, Sample};
use crate::side::Side;
use crate::time::mb_per_s;
use crate::turns::in_turns;

use super::files::{get, put};

/// The lines of this module.
pub const LINES: [&Line; 3] = [&STDOUT_128M, &STDOUT_SHARE, &STDOUT_1G];

/// Measures output, and in turns with it the same bytes as a file.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&STDOUT_128M, &STDOUT_SHARE]) {
        let size = 128 << 20;
        for side in &bench.sides {
            // Where it fails, so does each GET.
            let _ = put(side, size).await;
        }
        let [stdout, file] = in_turns(&bench.sides, bench.rounds(7), async |side: &Side| {
            [stdout(side, size).await, get(side, size).await]
        })
        .await;
        bench.add(&STDOUT_128M, stdout.clone());
        bench.add_beside(&STDOUT_SHARE, (&stdout, &file), |stdout, file| {
            stdout.beside(file, Unit::MbPerS, |stdout, file| stdout / file * 100.0)
        });
    }
    if bench.wants(&[&STDOUT_1G]) && !bench.flags.quick {
        let [series] = in_turns(&bench.sides, bench.rounds(3), async |side: &Side| {
            [stdout(side, 1 << 30).await]
        })
        .await;
        bench.add(&STDOUT_1G, series);
    }
}

/// MB/s of `bytes` bytes of output, from the request to the exit.
pub async fn stdout(side: &Side, bytes: usize) -> Sample {
    let started = Instant::now();
    let argv = ["head", "-c", &bytes.to_string(), "/dev/zero"];
    let ran = side.exec(&side.sandbox).run(&argv).await?;
    let took = started.elapsed();
    if ran.stdout == bytes {
        Ok(mb_per_s(bytes, took))
    } else {
        Err(Miss::Failed(format!("{} of {bytes} bytes", ran.stdout)))
    }
}
