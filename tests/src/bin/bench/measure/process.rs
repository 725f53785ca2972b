//! Processes: how fast one is started, followed, replayed and attached to; and ComputeSDK's
//! definition of an exec, `echo bench`, 25 times one after another and 5 at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::bench::Bench;
use crate::line::{Line, Unit};
use crate::lines::{
    COMPUTE_5, COMPUTE_25, PROCESS_ATTACH_ECHO, PROCESS_FOLLOW, PROCESS_FOLLOW_SHARE, PROCESS_REPLAY,
    PROCESS_START,
};
use crate::series::{Miss, Sample, Series};
use crate::side::{Side, accepted, offered, send, time_of};
use crate::sse;
use crate::time::{mb_per_s, ms_since};
use crate::turns::in_turns;

use super::stdout::stdout;
use super::websocket::{SILENCE, echo, socket};

/// The lines of this module.
pub const LINES: [&Line; 7] = [
    &PROCESS_START,
    &PROCESS_FOLLOW,
    &PROCESS_FOLLOW_SHARE,
    &PROCESS_REPLAY,
    &PROCESS_ATTACH_ECHO,
    &COMPUTE_25,
    &COMPUTE_5,
];

/// The bytes of output that are followed.
const FOLLOWED: usize = 128 << 20;

/// Measures processes.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&PROCESS_START]) {
        let [start] = in_turns(&bench.sides, bench.rounds(300), async |side: &Side| {
            [start(side).await]
        })
        .await;
        bench.add(&PROCESS_START, start);
    }
    if bench.wants(&[&PROCESS_FOLLOW, &PROCESS_FOLLOW_SHARE]) {
        let [follow, exec] = in_turns(&bench.sides, bench.rounds(7), async |side: &Side| {
            [follow(side).await, stdout(side, FOLLOWED).await]
        })
        .await;
        bench.add(&PROCESS_FOLLOW, follow.clone());
        bench.add_beside(&PROCESS_FOLLOW_SHARE, (&follow, &exec), |follow, exec| {
            follow.beside(exec, Unit::MbPerS, |follow, exec| follow / exec * 100.0)
        });
    }
    if bench.wants(&[&PROCESS_REPLAY]) {
        let mut logs = HashMap::new();
        for side in &bench.sides {
            logs.insert(side.sandbox.clone(), process_with_log(side).await);
        }
        let replay = async |side: &Side| {
            let path = match logs.get(&side.sandbox) {
                Some(Ok(id)) => format!("/process/{id}/log"),
                Some(Err(miss)) => return [Err(miss.clone())],
                None => return [Err(Miss::NotOffered)],
            };
            [time_of(side.request(&side.sandbox, Method::GET, &path)).await]
        };
        let [replay] = in_turns(&bench.sides, bench.rounds(50), replay).await;
        bench.add(&PROCESS_REPLAY, replay);
    }
    if bench.wants(&[&PROCESS_ATTACH_ECHO]) {
        let [echo] = in_turns(&bench.sides, bench.rounds(20), async |side: &Side| {
            [attach(side).await]
        })
        .await;
        bench.add(&PROCESS_ATTACH_ECHO, echo);
    }
    if bench.wants(&[&COMPUTE_25, &COMPUTE_5]) {
        let mut each = [Vec::new(), Vec::new()];
        for side in &bench.sides {
            let (one_by_one, at_once) = compute(side, bench.rounds(40).counted).await;
            each[0].push(one_by_one);
            each[1].push(at_once);
        }
        let [one_by_one, at_once] = each;
        bench.add(&COMPUTE_25, one_by_one);
        bench.add(&COMPUTE_5, at_once);
    }
}

/// Starts a process that the bridge may not offer; its id.
pub async fn begin(side: &Side, body: &Value) -> Result<String, Miss> {
    let request = side.request(&side.sandbox, Method::POST, "/process").json(body);
    let process: Value = offered(send(request).await?)
        .await?
        .json()
        .await
        .map_err(Miss::failed)?;
    match process["id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => Err(Miss::Failed(format!("no id in {process}"))),
    }
}

/// Milliseconds to the answer.
async fn start(side: &Side) -> Sample {
    let started = Instant::now();
    begin(side, &json!({ "argv": ["true"] })).await?;
    Ok(ms_since(started))
}

/// MB/s that arrive at a follower. The process does not wait for it: what it is too slow for is not
/// counted.
async fn follow(side: &Side) -> Sample {
    let script = format!("read go; exec head -c {FOLLOWED} /dev/zero");
    let body = json!({ "argv": ["sh", "-c", script], "stdin_open": true, "log_bytes": 16 << 20 });
    let id = begin(side, &body).await?;
    let path = |part: &str| format!("/process/{id}/{part}");
    let followed = send(side.request(&side.sandbox, Method::GET, &path("log?follow=true")));
    let response = accepted(followed.await?).await?;
    let started = Instant::now();
    let go = side
        .request(&side.sandbox, Method::POST, &path("stdin"))
        .body("\n");
    let (ran, _) = tokio::join!(sse::read(response, started), send(go));
    let ran = ran?;
    Ok(mb_per_s(ran.stdout, Duration::from_secs_f64(ran.exit / 1000.0)))
}

/// A process that has ended, with 2 MiB in its log.
async fn process_with_log(side: &Side) -> Result<String, Miss> {
    let id = begin(side, &json!({ "argv": ["head", "-c", "2097152", "/dev/zero"] })).await?;
    let path = format!("/process/{id}/wait");
    let wait = side.request(&side.sandbox, Method::POST, &path);
    accepted(send(wait.json(&json!({ "for": "exit" }))).await?).await?;
    Ok(id)
}

/// Milliseconds that a line takes through an attached `cat`: the median of [`KEYS`].
async fn attach(side: &Side) -> Sample {
    let id = begin(side, &json!({ "argv": ["cat"], "stdin_open": true })).await?;
    let mut socket = socket(side, &format!("/process/{id}/attach")).await?;
    let echo = echo(&mut socket).await;
    // Its process has ended when the socket has.
    let _ = socket
        .send(Message::Text(r#"{"type":"close_stdin"}"#.into()))
        .await;
    let _ = timeout(SILENCE, socket.next()).await;
    echo
}

/// ComputeSDK's definition: `echo bench` 25 times one after another, and 5 at once.
async fn compute(side: &Side, rounds: usize) -> (Series, Series) {
    let (mut one_by_one, mut at_once) = (Series::default(), Series::default());
    let exec = side.exec(&side.sandbox);
    for _ in 0..rounds.div_ceil(4) {
        for _ in 0..25 {
            one_by_one.add(exec.time(&["echo", "bench"]).await);
        }
        for sample in join_all((0..5).map(|_| exec.time(&["echo", "bench"]))).await {
            at_once.add(sample);
        }
    }
    (one_by_one, at_once)
}
