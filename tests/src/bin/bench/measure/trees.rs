//! Directories and trees of files: status, listing, removal, search, watch.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::file::Watch;
use serde_json::json;
use tokio::time::timeout;

use crate::bench::Bench;
use crate::line::{Line, Unit};
use crate::lines::{
    DELETE_50K, DELETE_50K_SHARE, DIRECTORY_10K, SEARCH, SEARCH_SHARE, STAT, STAT_SHARE, WATCH,
};
use crate::series::{Miss, Sample, Series};
use crate::side::{Side, accepted, count, offered, send, time_of};
use crate::time::{mb_per_s, ms_since};
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 8] = [
    &STAT,
    &STAT_SHARE,
    &DIRECTORY_10K,
    &DELETE_50K,
    &DELETE_50K_SHARE,
    &SEARCH,
    &SEARCH_SHARE,
    &WATCH,
];

/// Makes a directory of 10,000 files.
const MAKE_10K: &str = "mkdir -p many && cd many && seq 10000 | xargs touch";

/// Makes two trees of 50,000 files in 500 directories each.
const MAKE_50K: &str = "rm -rf one two && mkdir one && cd one && mkdir $(seq 500) && \
                        for d in $(seq 500); do (cd $d && touch $(seq 100)); done; cd .. && cp -r one two";

/// Makes 16,384 files of 64 KiB, all lines of text, few of which match.
const MAKE_TEXT: &str = "mkdir -p text && cd text && \
    { yes 'the quick brown fox jumps over the lazy dog, and nothing else' | head -c 65000; echo needle; } > 1 && \
    mkdir -p 1.d && for f in $(seq 256); do cp 1 1.d/$f; done; rm 1; for d in $(seq 2 64); do cp -r 1.d $d.d; done";

/// The bytes that are searched.
const TEXT: usize = 16_384 * 65_007;

/// The number of files whose event is awaited.
const EVENTS: usize = 20;

/// The longest time that an event may take.
const SILENCE: Duration = Duration::from_secs(10);

/// Measures each.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&STAT, &STAT_SHARE]) {
        let [stat, get] = in_turns(&bench.sides, bench.rounds(300), async |side: &Side| {
            [
                stat(side, "/stat/workspace/byte").await,
                stat(side, "/file/workspace/byte").await,
            ]
        })
        .await;
        bench.add(&STAT, stat.clone());
        bench.add_beside(&STAT_SHARE, (&stat, &get), |stat, get| {
            stat.beside(get, Unit::Ms, |stat, get| stat / get)
        });
    }
    if bench.wants(&[&DIRECTORY_10K]) {
        for side in &bench.sides {
            run(side, MAKE_10K).await;
        }
        let [list] = in_turns(&bench.sides, bench.rounds(20), async |side: &Side| {
            [list(side).await]
        })
        .await;
        bench.add(&DIRECTORY_10K, list);
    }
    if bench.wants(&[&DELETE_50K, &DELETE_50K_SHARE]) {
        let [delete, rm] = in_turns(&bench.sides, bench.rounds(5), async |side: &Side| {
            run(side, MAKE_50K).await;
            [delete(side).await, time_of_command(side, "rm -rf two").await]
        })
        .await;
        bench.add(&DELETE_50K, delete.clone());
        bench.add_beside(&DELETE_50K_SHARE, (&delete, &rm), |delete, rm| {
            delete.beside(rm, Unit::Ms, |delete, rm| delete / rm)
        });
    }
    if bench.wants(&[&SEARCH, &SEARCH_SHARE]) {
        for side in &bench.sides {
            run(side, MAKE_TEXT).await;
        }
        let [search, rg] = in_turns(&bench.sides, bench.rounds(10), async |side: &Side| {
            [search(side).await, rg(side).await]
        })
        .await;
        bench.add(&SEARCH, search.clone());
        bench.add_beside(&SEARCH_SHARE, (&search, &rg), |search, rg| {
            search.beside(rg, Unit::MbPerS, |search, rg| search / rg * 100.0)
        });
    }
    if bench.wants(&[&WATCH]) {
        let [watch] = in_turns(&bench.sides, bench.rounds(20), async |side: &Side| {
            [watch(side).await]
        })
        .await;
        bench.add(&WATCH, watch);
    }
}

/// Runs a script that prepares a measurement. A failure shows in what is measured.
async fn run(side: &Side, script: &str) {
    let _ = side.exec(&side.sandbox).run(&["sh", "-c", script]).await;
}

/// Milliseconds of a command, without its start.
async fn time_of_command(side: &Side, script: &str) -> Sample {
    let exec = side.exec(&side.sandbox);
    let nothing = exec.time(&["sh", "-c", "true"]).await?;
    let time = exec.time(&["sh", "-c", script]).await?;
    Ok((time - nothing).max(0.0))
}

/// Milliseconds of a request for a file of one byte.
async fn stat(side: &Side, path: &str) -> Sample {
    let put = side.request(&side.sandbox, Method::PUT, "/file/workspace/byte");
    accepted(send(put.body("x")).await?).await?;
    let request = side.request(&side.sandbox, Method::GET, path);
    let started = Instant::now();
    count(offered(send(request).await?).await?).await?;
    Ok(ms_since(started))
}

/// Milliseconds to the last line of a listing.
async fn list(side: &Side) -> Sample {
    let request = side.request(&side.sandbox, Method::GET, "/directory/workspace/many");
    let started = Instant::now();
    let response = send(request.header("accept", "application/x-ndjson")).await?;
    let text = offered(response).await?.text().await.map_err(Miss::failed)?;
    let time = ms_since(started);
    match text.lines().count() {
        10_001 => Ok(time),
        lines => Err(Miss::Failed(format!("{lines} lines"))),
    }
}

/// Milliseconds to the answer.
async fn delete(side: &Side) -> Sample {
    let path = "/file/workspace/one?recursive=true";
    time_of(side.request(&side.sandbox, Method::DELETE, path)).await
}

/// MB/s of a search that finds one line in each file.
async fn search(side: &Side) -> Sample {
    let body = json!({ "pattern": "needle", "path": "text", "maxResults": 20_000 });
    let request = side.request(&side.sandbox, Method::POST, "/search").json(&body);
    let started = Instant::now();
    count(offered(send(request).await?).await?).await?;
    Ok(mb_per_s(TEXT, started.elapsed()))
}

/// MB/s of the same by ripgrep.
async fn rg(side: &Side) -> Sample {
    let exec = side.exec(&side.sandbox);
    if exec.run(&["sh", "-c", "command -v rg"]).await.is_err() {
        return Err(Miss::Unobservable("the image has no rg"));
    }
    let time = time_of_command(side, "rg -F needle text > /dev/null").await?;
    Ok(mb_per_s(TEXT, Duration::from_secs_f64(time / 1000.0)))
}

/// Milliseconds from a `PUT` to its event: the median of [`EVENTS`].
async fn watch(side: &Side) -> Sample {
    let request = side.request(&side.sandbox, Method::GET, "/watch/workspace");
    let (mut watch, _) = Watch::begin(offered(send(request).await?).await?).await;
    let mut times = Vec::new();
    for _ in 0..EVENTS {
        let put = side.request(&side.sandbox, Method::PUT, "/file/workspace/watched");
        let started = Instant::now();
        let (written, event) = tokio::join!(send(put.body("x")), timeout(SILENCE, watch.next()));
        written?;
        match event {
            Ok(Some(_)) => times.push(ms_since(started)),
            _ => return Err(Miss::Failed("no event".into())),
        }
    }
    Series::from_samples(times)
        .median(Unit::Ms)
        .ok_or(Miss::NotOffered)
}
