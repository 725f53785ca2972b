//! Clients repeat requests that are answered with 503, so 503 means that nothing was started: a
//! command never runs twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::process::Signal;
use sandbar_tests::Sandbox;
use sandbar_tests::client::{assert_error, retry_after};
use sandbar_tests::kill::{kill_sandboxd, signal_sandboxd};
use sandbar_tests::sse::Events;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use crate::{bridge, sandbox};

const ROUNDS: u64 = 200;
/// How many clients run a command at a time.
const CLIENTS: u64 = 4;
/// How often the OpenAI client sends a request that is answered with 503.
const TRIES: u32 = 3;
/// Its first pause before it repeats, doubled each time; 250 ms there.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How a client's command ended.
enum Outcome {
    /// The stream was there, to its end or not.
    Streamed,
    /// 502: it may have run.
    Unknown,
    /// 503, each time.
    NotBegun,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_runs_twice() {
    if !bridge().is_local {
        eprintln!("skipped: a command counts its runs through the network of this machine");
        return;
    }
    let counter = Counter::start().await;
    let sandbox = sandbox().await;
    let (mut streamed, mut unknown) = (0, 0);
    for round in 0..ROUNDS {
        // Each round can be repeated by its number.
        let mut random = StdRng::seed_from_u64(round);
        let boot = running_boot(&sandbox).await;
        let delay = Duration::from_micros(random.random_range(0..12_000));
        let kill = async {
            tokio::time::sleep(delay).await;
            if round % 2 == 0 {
                // The command goes on without it for a moment, which makes the time between its
                // start and the answer longer.
                signal_sandboxd(&boot, Signal::STOP);
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            kill_sandboxd(&boot);
        };
        let names: Vec<u64> = (0..CLIENTS).map(|client| round * CLIENTS + client).collect();
        let runs = join_all(names.iter().map(|name| counter.run(&sandbox, *name)));
        let (outcomes, ()) = futures_util::future::join(runs, kill).await;
        for (name, outcome) in names.into_iter().zip(outcomes) {
            let count = counter.count(name);
            assert!(count <= 1, "round {round}: command {name} ran {count} times");
            match outcome {
                Outcome::Streamed => streamed += 1,
                Outcome::Unknown => unknown += 1,
                Outcome::NotBegun => assert_eq!(count, 0, "round {round}: 503, but command {name} ran"),
            }
        }
    }
    assert!(
        streamed > 0 && unknown > 0,
        "{streamed} streams, {unknown} broken connections"
    );
    assert_eq!(sandbox.destroy().await, 204);
}

/// The id of the boot that runs now; the end of the one before may not be known yet.
async fn running_boot(sandbox: &Sandbox) -> String {
    loop {
        let response = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
        if response.status() == 200 {
            return response.headers()["sandbox-boot-id"].to_str().unwrap().to_owned();
        }
    }
}

/// Counts the runs of commands by the connections that they make: their sandbox's files go with it.
struct Counter {
    port: u16,
    runs: Arc<Mutex<BTreeMap<u64, u32>>>,
}

impl Counter {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let runs = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&runs);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    let mut line = String::new();
                    let _ = BufReader::new(stream).read_line(&mut line).await;
                    if let Ok(name) = line.trim().parse() {
                        *counted.lock().unwrap().entry(name).or_default() += 1;
                    }
                });
            }
        });
        Self { port, runs }
    }

    fn count(&self, name: u64) -> u32 {
        self.runs.lock().unwrap().get(&name).copied().unwrap_or_default()
    }

    /// Runs a command that is counted, by a client that repeats after 503.
    async fn run(&self, sandbox: &Sandbox, name: u64) -> Outcome {
        let script = format!("echo {name} >/dev/tcp/127.0.0.1/{}", self.port);
        let body = json!({ "argv": ["bash", "-c", script] });
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let response = sandbox.exec_json(&body).await;
            match response.status().as_u16() {
                200 => {
                    Events::new(response.bytes_stream()).finish().await;
                    return Outcome::Streamed;
                }
                503 => assert!((1..=3).contains(&retry_after(&response))),
                _ => {
                    assert!(!response.headers().contains_key("retry-after"));
                    assert_error(response, 502, "exec_transport_error").await;
                    return Outcome::Unknown;
                }
            }
            if attempt < TRIES {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Outcome::NotBegun
    }
}
