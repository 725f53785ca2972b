//! DELETE: during a start, afterwards, and when the platform does not answer.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use sandbar_tests::bridge::project_root;
use sandbar_tests::kill::signal_sandbox_local;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::sandbox_settings::create;
use crate::{client, eventually};

#[tokio::test]
async fn a_delete_that_overtakes_a_start_fails_it_with_a_plain_message_and_leaves_nothing() {
    let client = client();
    // From before the start to after it. A Docker engine starts few containers at a time.
    let (rounds, step_ms) = if client.bridge.is_local { (40, 3) } else { (12, 25) };
    let rounds = (0..rounds).map(|round| {
        let client = client.clone();
        async move {
            let sandbox = client.create().await;
            let delay = Duration::from_millis(round * step_ms);
            let command = json!({ "argv": ["true"] });
            let (started, deleted) = tokio::join!(sandbox.exec_json(&command), async {
                tokio::time::sleep(delay).await;
                sandbox.destroy().await
            });
            assert_eq!(deleted, 204);
            let status = started.status().as_u16();
            let text = started.text().await.unwrap();
            assert!(!sandbox.running().await || status == 200, "{status} {text}");
            if status != 200 {
                let error: Value = serde_json::from_str(&text).unwrap();
                let message = error["error"].as_str().unwrap();
                assert!(!message.contains(['{', '\\']), "{text}");
            }
            sandbox.destroy().await;
            (status, text)
        }
    });
    let ends = join_all(rounds).await;
    let overtaken = |(status, text): &&(u16, String)| {
        *status == 503 && text.contains("the sandbox was destroyed while it started")
    };
    assert!(ends.iter().filter(overtaken).count() > 0, "{ends:?}");
    // Once the command was forwarded, it is unknown whether it ran.
    let known = |(status, text): &(u16, String)| {
        overtaken(&&(*status, text.clone())) || *status == 200 || text.contains("exec_transport_error")
    };
    assert!(ends.iter().all(known), "{ends:?}");
}

#[tokio::test]
async fn nothing_of_a_destroyed_sandbox_or_of_one_that_sleeps_is_left_in_the_storage() {
    let vars = [("SANDBOX_SLEEP_AFTER", "1s"), ("SANDBOX_FORGET_AFTER", "2s")];
    let bridge = Bridge::start(&vars);
    let client = Client::new(&bridge);
    let sandboxes = join_all((0..8).map(|_| async {
        let sandbox = client.create().await;
        assert_eq!(sandbox.sh("true").await.code(), 0);
        sandbox
    }))
    .await;
    if bridge.is_local {
        assert!(!stored(&bridge).is_empty(), "this finds what an object keeps");
    }
    // One that nobody configured and that never runs.
    create(&client, &json!({ "id": "neverused" })).await;
    let (destroyed, asleep) = sandboxes.split_at(4);
    assert!(
        join_all(destroyed.iter().map(Sandbox::destroy))
            .await
            .iter()
            .all(|status| *status == 204)
    );
    for sandbox in asleep {
        eventually("it sleeps", || async { !sandbox.running().await }).await;
    }
    if bridge.is_local {
        eventually("nothing is stored", || async { stored(&bridge).is_empty() }).await;
        let configured = create(&client, &json!({ "labels": { "a": "1" } })).await;
        assert_eq!(configured.sh("true").await.code(), 0);
        eventually("only the settings stay", || async {
            let stored = stored(&bridge);
            !configured.running().await && stored.len() == 1 && stored[0].ends_with("_cf_KV record")
        })
        .await;
        assert_eq!(configured.destroy().await, 204);
    }
    // Both can be started again.
    for sandbox in [&destroyed[0], &asleep[0]] {
        assert_eq!(sandbox.sh("echo back").await.text(), "back\n");
        assert_eq!(sandbox.destroy().await, 204);
    }
}

#[tokio::test]
async fn a_port_that_is_exposed_during_a_delete_is_not_exposed_afterwards() {
    let client = client();
    for round in 0..10 {
        let sandbox = client.create().await;
        sandbox.boot_id().await;
        let (exposed, deleted) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_millis(round)).await;
                let request = sandbox.request(reqwest::Method::PUT, "/port/8080");
                request
                    .json(&json!({ "wake": true }))
                    .send()
                    .await
                    .unwrap()
                    .status()
            },
            sandbox.destroy()
        );
        assert_eq!(deleted, 204);
        let ports = sandbox
            .request(reqwest::Method::GET, "/port")
            .send()
            .await
            .unwrap();
        let ports: Value = ports.json().await.unwrap();
        let left = ports["ports"].as_array().is_some_and(|ports| !ports.is_empty());
        assert!(!left, "round {round}: {exposed} {ports}");
    }
}

/// The keys and the alarms that Sandbox objects of a bridge of this machine have in their storage.
fn stored(bridge: &Bridge) -> Vec<String> {
    let port = bridge.url.rsplit(':').next().unwrap();
    let session: PathBuf = project_root().join(format!(".wrangler/session-{port}"));
    // A database cannot be read while workerd makes or recovers its log.
    let script = r#"
import pathlib, sqlite3, sys, time
def rows(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE name IN ('_cf_KV', '_cf_ALARM')").fetchall():
            for row in database.execute(f"SELECT * FROM {table}"):
                yield f"{path.name} {table} {row[0]}"
for path in pathlib.Path(sys.argv[1]).rglob("*.sqlite"):
    for attempt in range(20):
        try:
            found = list(rows(path))
            break
        except sqlite3.OperationalError:
            if attempt == 19: raise
            time.sleep(0.05)
    for row in found: print(row)
"#;
    let listed = Command::new("python3")
        .args(["-c", script])
        .arg(session)
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_platform_that_does_not_answer_holds_nobody_up() {
    let bridge = Bridge::start_on(
        sandbar_tests::Runtime::Local,
        &[
            ("SANDBOX_PLATFORM_TIMEOUT", "500ms"),
            ("SANDBOX_START_TIMEOUT", "1s"),
        ],
    );
    let client = Client::new(&bridge);
    let (running, deleted, absent) = (
        client.create().await,
        client.create().await,
        client.create().await,
    );
    for sandbox in [&running, &deleted] {
        assert_eq!(sandbox.sh("true").await.code(), 0);
    }
    signal_sandbox_local(&bridge, Signal::STOP);
    let start_time = Instant::now();
    assert_eq!(
        running.sh("echo on").await.text(),
        "on\n",
        "what runs is not asked for again"
    );
    let command = json!({ "argv": ["true"] });
    let (status, started, asked) = tokio::join!(
        deleted.destroy(),
        absent.exec_json(&command),
        absent.request(reqwest::Method::GET, "/running").send(),
    );
    assert_eq!(
        (
            status.as_u16(),
            started.status().as_u16(),
            asked.unwrap().status().as_u16()
        ),
        (503, 503, 503)
    );
    let again = deleted.exec_json(&command).await;
    assert_eq!(again.status(), 503, "it is unknown whether it runs");
    assert!(
        start_time.elapsed() < Duration::from_secs(5),
        "{:?}",
        start_time.elapsed()
    );

    signal_sandbox_local(&bridge, Signal::CONT);
    for sandbox in [&running, &deleted, &absent] {
        eventually("it works again", || async {
            sandbox.exec_json(&command).await.status() == 200
        })
        .await;
        assert_eq!(sandbox.destroy().await, 204);
        assert!(!sandbox.running().await);
    }
}
