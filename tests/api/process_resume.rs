//! Streams that break and are resumed by `Last-Event-ID` lose nothing and repeat nothing.

use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng as _;
use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::sse::{Events, Item};
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::sandbox;

/// The processes of a test, at the same time. A connection that breaks has cost what was left of the
/// log, so one log of all events would take much longer.
const PROCESSES: u32 = 8;

/// The lines of each output of [`WRITER`]: 10,000 of all processes together.
const LINES: u32 = 625;

/// Writes lines to both outputs in turns, each once the one before has been read: each is an event.
const WRITER: &str = r#"
    sub line {
        my ($output, $line) = @_;
        syswrite($output, $line);
        my $unread = "";
        do {
            select(undef, undef, undef, 0.0002);
            ioctl($output, 0x541B, $unread = pack("i", 0)); # FIONREAD
        } while unpack("i", $unread);
    }
    for my $i (1 .. 625) {
        line(STDOUT, "out $i\n");
        line(STDERR, "error $i\n");
    }
"#;

/// The digests of both outputs of [`WRITER`].
fn written() -> String {
    let mut got = Got::default();
    for i in 1..=LINES {
        got.digests[0].update(format!("out {i}\n"));
        got.digests[1].update(format!("error {i}\n"));
    }
    got.sums()
}

/// The events of a stream, over as many connections as it takes.
#[derive(Default)]
struct Got {
    digests: [Sha256; 2],
    last_id: u64,
    events: u64,
    exit: Option<Value>,
}

impl Got {
    /// Reads a stream to its end, over a new connection for each event. `open` continues it behind an
    /// event.
    async fn broken_after_every_event(open: impl AsyncFn(u64) -> Events) -> Self {
        let mut got = Self::default();
        while got.exit.is_none() {
            let cut = got.last_id + 1;
            got.read(open(got.last_id).await, cut).await;
        }
        got
    }

    /// Reads up to the event `cut`, or to the end.
    async fn read(&mut self, mut events: Events, cut: u64) {
        while self.last_id < cut && self.exit.is_none() {
            let item = events
                .next()
                .await
                .expect("no end before the exit")
                .expect("a connection");
            // The stream asserts that its ids follow each other.
            self.events += u64::from(events.last_id() > self.last_id);
            self.last_id = events.last_id();
            match item {
                Item::Output(is_stderr, bytes) => self.digests[usize::from(is_stderr)].update(bytes),
                Item::Exit(exit) => self.exit = Some(exit),
                Item::Comment => {}
                other => panic!("{other:?} at {}", self.last_id),
            }
        }
    }

    /// Asserts that it has each event of [`WRITER`] once.
    fn assert_whole(self) {
        assert_eq!(self.exit, Some(json!({ "exit_code": 0 })));
        let events = u64::from(2 * LINES + 1);
        assert_eq!((self.events, self.last_id), (events, events));
        assert_eq!(self.sums(), written());
    }

    fn sums(self) -> String {
        let [stdout, stderr] = self.digests.map(|digest| -> String {
            let bytes = digest.finalize();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        format!("{stdout} {stderr}")
    }
}

/// Runs `POST exec` with an id, or attaches to it behind the event `last_id`.
async fn exec(sandbox: &Sandbox, body: &Value, last_id: u64) -> Events {
    let mut request = sandbox.request(Method::POST, "/exec");
    if last_id > 0 {
        request = request.header("Last-Event-ID", last_id);
    }
    let response = request.json(body).send().await.expect("an answer");
    assert_eq!(response.status(), 200, "after {last_id}");
    Events::after(last_id, response.bytes_stream())
}

/// The next place to cut at: some events on, often the very next one.
fn next_cut(last_id: u64, events: u64) -> u64 {
    last_id + rand::rng().random_range(1..=events)
}

#[tokio::test]
async fn a_follower_whose_connection_breaks_after_every_event_gets_every_event_once() {
    // A bridge of its own: thousands of lines would push those of other tests out of the log.
    let sandbox = Client::new(&Bridge::start(&[])).create().await;
    let followers = (0..PROCESSES).map(|_| async {
        let body = json!({ "argv": ["perl", "-e", WRITER] });
        let process = sandbox.start(&body).await;
        let follow = async |last_id| process.log_after(last_id, "?follow=true").await;
        Got::broken_after_every_event(follow).await.assert_whole();
        // A client that reads it in one piece gets the same.
        let mut whole = Got::default();
        whole.read(process.log("").await, u64::MAX).await;
        whole.assert_whole();
    });
    join_all(followers).await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_command_that_lingers_loses_nothing_when_its_connection_breaks_after_every_event() {
    let sandbox = Client::new(&Bridge::start(&[])).create().await;
    let sandbox = &sandbox;
    let clients = (0..PROCESSES).map(|number| async move {
        let id = format!("lingering{number}");
        let body = json!({ "argv": ["perl", "-e", WRITER], "id": id, "linger_ms": 20_000 });
        let attach = async |last_id| exec(sandbox, &body, last_id).await;
        Got::broken_after_every_event(attach).await.assert_whole();
    });
    join_all(clients).await;
    assert_eq!(sandbox.processes("").await.len(), PROCESSES as usize);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_fast_stream_loses_nothing_when_its_connection_breaks() {
    let sandbox = sandbox().await;
    // As much as the log keeps at least: however much is on its way, none of it is lost.
    let script =
        "head -c 32000000 /dev/urandom | tee random; sha256sum < random | cut -c 1-64 | tr -d '\\n' > sum";
    let body = json!({ "argv": ["sh", "-c", script], "id": "fast", "linger_ms": 20_000 });
    let mut got = Got::default();
    let mut cuts = 0_u32;
    while got.exit.is_none() {
        let mut events = exec(&sandbox, &body, got.last_id).await;
        if cuts % 3 == 1 {
            // Much is on its way to a client that does not read when the connection breaks.
            let item = events.next().await.expect("an event").expect("a connection");
            let Item::Output(false, bytes) = item else {
                panic!("{item:?}")
            };
            got.digests[0].update(bytes);
            got.last_id = events.last_id();
            got.events += 1;
            tokio::time::sleep(Duration::from_millis(150)).await;
        } else {
            let cut = next_cut(got.last_id, 250);
            got.read(events, cut).await;
        }
        cuts += 1;
    }
    assert_eq!(got.exit, Some(json!({ "exit_code": 0 })));
    assert_eq!(got.events, got.last_id, "each id once");
    assert!(cuts > 4, "{cuts} connections");
    let sum = sandbox.get("workspace/sum").await.text().await.unwrap();
    assert_eq!(got.sums().split(' ').next(), Some(sum.as_str()));
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_id_that_the_log_has_not_reached_is_refused_and_replace_runs_nothing_again() {
    let sandbox = sandbox().await;
    let body = json!({
        "command": "echo ran >> runs; echo out", "id": "once", "linger_ms": 10_000, "replace": true,
    });
    let first = exec(&sandbox, &body, 0).await.finish().await;
    assert_eq!((first.text().as_str(), first.code()), ("out\n", 0));
    let rest = exec(&sandbox, &body, 1).await.finish().await;
    assert_eq!((rest.text().as_str(), rest.code()), ("", 0));
    assert_eq!(sandbox.get("workspace/runs").await.text().await.unwrap(), "ran\n");
    let process = sandbox.process("once");
    let ahead = sandbox
        .request(Method::POST, "/exec")
        .header("Last-Event-ID", 999);
    let text = assert_error(ahead.json(&body).send().await.unwrap(), 400, "invalid_request").await;
    assert!(text.contains("the last one is 2"), "{text}");
    assert_eq!(process.log_after(999, "").await.finish().await.text(), "");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_command_that_lingers_ends_when_its_client_stays_away() {
    let sandbox = sandbox().await;
    let body = |id: &str, linger_ms: u64| json!({ "argv": ["sh", "-c", "echo up; exec sleep 60"], "id": id, "linger_ms": linger_ms });
    for (id, linger_ms) in [("short", 300), ("long", 60_000)] {
        let mut events = exec(&sandbox, &body(id, linger_ms), 0).await;
        events.next().await.unwrap().unwrap();
    }
    let short = sandbox.process("short");
    assert_eq!(short.exit().await["signal"], "SIGKILL");
    assert_eq!(sandbox.process("long").show().await["state"], "running");
    // Its output and its end are still there for its client.
    let late = exec(&sandbox, &body("short", 300), 0).await.finish().await;
    assert_eq!((late.text().as_str(), late.code()), ("up\n", 137));
    // A client that returns in time keeps it.
    let again = exec(&sandbox, &body("long", 60_000), 1).await;
    sandbox.process("long").signal("SIGTERM").await;
    assert_eq!(again.finish().await.code(), 143);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_stays_away_makes_a_lingering_command_wait_and_not_lose_output() {
    let sandbox = sandbox().await;
    let script = "echo up; head -c 120000000 /dev/zero; echo > done";
    let body = json!({ "argv": ["sh", "-c", script], "id": "waits", "linger_ms": 30_000 });
    let mut events = exec(&sandbox, &body, 0).await;
    let Some(Ok(Item::Output(false, first))) = events.next().await else {
        panic!("no output");
    };
    drop(events);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(sandbox.get("workspace/done").await.status(), 404, "it waits");
    let rest = exec(&sandbox, &body, 1).await.finish().await;
    let length = first.len() + rest.stdout.len();
    assert_eq!((rest.missing, length, rest.code()), (0, 120_000_003, 0));
    sandbox.destroy().await;
}
