//! `sandboxd` is killed at random points under load: no orphan process, no invented exit, no file
//! that was never sent, and the next request works.

use std::time::Duration;

use futures_util::future::{join, join_all};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sandbar_tests::client::lost_by_proxy;
use sandbar_tests::kill::kill_sandboxd;
use sandbar_tests::sse::{Events, Item};
use sandbar_tests::{Finished, Sandbox};
use serde_json::{Value, json};

use crate::{bridge, eventually, sandbox};

const ROUNDS: usize = 200;
/// Rounds that run at the same time, each in a sandbox of its own.
const AT_ONCE: usize = 4;
/// The bigger command writes the output of `seq 1 LAST`.
const LAST: u32 = 30_000;

#[tokio::test]
async fn killed_at_any_time_it_invents_nothing_and_leaves_nothing() {
    if !bridge().is_local && !bridge().has_containers {
        eprintln!("skipped: only a sandboxd of this machine can be killed from here");
        return;
    }
    let lanes = join_all((0..AT_ONCE).map(async |lane| {
        let sandbox = sandbox().await;
        let mut commands = Vec::new();
        for round in (lane..ROUNDS).step_by(AT_ONCE) {
            commands.extend(kill_once(&sandbox, round).await);
        }
        assert_eq!(sandbox.destroy().await, 204);
        commands
    }));
    let commands = lanes.await.concat();
    let exits = commands.iter().filter(|ended| **ended).count();
    let breaks = commands.len() - exits;
    assert!(
        breaks > 0 && exits > 0,
        "{exits} commands ended and {breaks} broke off"
    );
}

/// Kills `sandboxd` under load; returns which of the short commands ended.
async fn kill_once(sandbox: &Sandbox, round: usize) -> Vec<bool> {
    // Each round can be repeated by its number.
    let mut random = StdRng::seed_from_u64(round as u64);
    let boot = sandbox.boot_id().await;
    let delay = Duration::from_micros(random.random_range(0..60_000));
    let kill = async {
        tokio::time::sleep(delay).await;
        kill_sandboxd(&boot);
    };
    // Unlike any other on this machine.
    let sleep = format!("5{round:03}.{}", std::process::id());
    let script = format!(
        "sleep {sleep} & setsid sleep {sleep} & (setsid sh -c 'sleep {sleep} & exit' &) ; sleep 0.1; echo up; wait"
    );
    let mut endless = sandbox.stream(&json!({ "argv": ["sh", "-c", script] })).await;
    assert!(matches!(endless.next().await, Some(Ok(Item::Output(false, _)))));
    assert_eq!(running(&["sleep", &sleep]), 3);
    let (finished, ()) = join(load(sandbox), kill).await;
    endless.finish().await.assert_broken_off();

    let next = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
    assert_eq!(next.status(), 200, "round {round}");
    assert_ne!(next.headers()["sandbox-boot-id"].to_str().unwrap(), boot);
    // Written by a request that came after the kill, or not there.
    assert!(
        get(sandbox).await.is_none_or(|read| read == content()),
        "round {round}"
    );
    eventually("no process is left", || async {
        running(&["sleep", &sleep]) == 0
    })
    .await;
    finished
}

/// Many requests at once, each checked for its possible answers; returns which of the short
/// commands ended.
async fn load(sandbox: &Sandbox) -> Vec<bool> {
    let numbers = numbers();
    let commands = async {
        let mut ended = Vec::new();
        for _ in 0..4 {
            ended.push(
                exec(
                    sandbox,
                    json!({ "argv": ["sh", "-c", "echo out; exit 7"] }),
                    b"out\n",
                    7,
                )
                .await,
            );
        }
        ended
    };
    let counting = exec(
        sandbox,
        json!({ "argv": ["seq", "1", LAST.to_string()] }),
        &numbers,
        0,
    );
    let files = async {
        // Refused, broken off or done; but a read returns what was written.
        let _ = put(sandbox, content()).await;
        if let Some(read) = get(sandbox).await {
            assert!(read == content(), "{} bytes", read.len());
        }
    };
    let ((mut ended, counted), ()) = join(join(commands, counting), files).await;
    ended.push(counted);
    ended
}

/// Runs a command. If its stream has an end, it has written `stdout` and ended with `code`.
async fn exec(sandbox: &Sandbox, body: Value, stdout: &[u8], code: i64) -> bool {
    let Some(finished) = attempt(sandbox, &body).await else {
        return false;
    };
    if finished.exit.is_none() {
        let got = finished.stdout.len();
        assert!(
            stdout.starts_with(&finished.stdout),
            "{got} bytes that it has not written"
        );
        return false;
    }
    assert_eq!(finished.code(), code);
    assert!(
        finished.stdout == stdout,
        "{} of {} bytes",
        finished.stdout.len(),
        stdout.len()
    );
    true
}

/// The stream of a command, unless the request as a whole was refused because the sandbox went
/// away.
async fn attempt(sandbox: &Sandbox, body: &Value) -> Option<Finished> {
    let response = sandbox.exec_json(body).await;
    if response.status() == 200 {
        return Some(Events::new(response.bytes_stream()).finish().await);
    }
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_default();
    assert!(matches!(status, 502 | 503), "{status} {text}");
    None
}

async fn put(sandbox: &Sandbox, content: Vec<u8>) -> bool {
    let request = sandbox
        .request(reqwest::Method::PUT, "/file/workspace/file")
        .body(content);
    match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            let text = response.text().await.unwrap_or_default();
            let is_expected = matches!(status, 200 | 502 | 503) || lost_by_proxy(status, &text);
            assert!(is_expected, "{status} {text}");
            status == 200
        }
        Err(_) => false,
    }
}

/// The whole file, if it could be read to its end.
async fn get(sandbox: &Sandbox) -> Option<Vec<u8>> {
    let request = sandbox.request(reqwest::Method::GET, "/file/workspace/file");
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    assert!(matches!(status, 200 | 404 | 502 | 503), "{status}");
    let bytes = response.bytes().await.ok()?;
    (status == 200).then(|| bytes.to_vec())
}

fn content() -> Vec<u8> {
    vec![0x5a; 1 << 20]
}

fn numbers() -> Vec<u8> {
    (1..=LAST)
        .map(|n| format!("{n}\n"))
        .collect::<String>()
        .into_bytes()
}

/// How many processes of this machine have this command line. Those of containers are among them.
fn running(argv: &[&str]) -> usize {
    let line: String = argv.iter().flat_map(|arg| [arg, "\0"]).collect();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter(|entry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|found| found == line.as_bytes())
        })
        .count()
}
