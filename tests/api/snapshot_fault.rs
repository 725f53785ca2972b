//! Snapshots and failures: whatever breaks, the workspace is the old one or the new one, as a whole.

use std::path::PathBuf;
use std::time::Duration;

use rand::Rng as _;
use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::kill::kill_sandboxd;
use sandbar_tests::process::ok;
use sandbar_tests::shared::eventually;
use sandbar_tests::snapshot::object;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::sandbox_settings::{create, info};
use crate::snapshot::{DIGEST, read, write};
use crate::snapshot_store::{Fault, FaultyStore};
use crate::{bridge, client};

/// Fills the workspace with files that all say which version it is.
async fn fill(sandbox: &Sandbox, version: &str) {
    let script = format!(
        "cd /workspace && rm -rf ./* && for i in $(seq 40); do mkdir -p d$i; echo {version} > d$i/f; done && \
         head -c 2000000 /dev/urandom > random && sha256sum random > sum && echo {version} > version"
    );
    assert_eq!(sandbox.sh(&script).await.text(), "");
}

/// The version of the workspace, every file of which must have it.
async fn version(sandbox: &Sandbox) -> String {
    let script =
        "cd /workspace && sha256sum -c --quiet sum && cat version && cat d*/f | sort -u && ls -d d* | wc -l";
    let mut run = sandbox.sh(script).await;
    // The object of a sandbox that was evicted during a stop does not know that it goes on.
    for _ in 0..3 {
        if run.exit.as_ref().is_some_and(|exit| exit["exit_code"] == 0) {
            break;
        }
        run = sandbox.sh(script).await;
    }
    let text = run.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.len() == 3 && lines[0] == lines[1] && lines[2] == "40",
        "{text}"
    );
    lines[0].to_owned()
}

fn archive(id: &str) -> PathBuf {
    object(&format!("archive/{id}.tar.zst"))
}

#[tokio::test]
async fn a_flipped_byte_is_refused_and_the_old_content_stays() {
    let (client, sandbox) = (client(), client().create().await);
    fill(&sandbox, "saved").await;
    let made = sandbox.snapshot(&json!({})).await;
    let id = made["id"].as_str().unwrap();
    fill(&sandbox, "now").await;
    let before = sandbox.sh(DIGEST).await.text();
    let whole = std::fs::read(archive(id)).unwrap();
    for part in 0..24 {
        let mut damaged = whole.clone();
        let at = match part {
            0 => 0,
            // In the archive itself, not in the index or the contents behind it.
            part => rand::rng().random_range(0..made["size"].as_u64().unwrap() as usize) / part,
        };
        damaged[at] ^= 1 << (part % 8);
        std::fs::write(archive(id), &damaged).unwrap();
        assert_error(sandbox.restore(id).await, 409, "restore_incomplete").await;
    }
    for length in [0, 1, 1000, whole.len() / 2, whole.len() * 9 / 10] {
        std::fs::write(archive(id), &whole[..length]).unwrap();
        assert_error(sandbox.restore(id).await, 409, "restore_incomplete").await;
    }
    std::fs::remove_file(archive(id)).unwrap();
    assert_error(sandbox.restore(id).await, 409, "restore_incomplete").await;
    assert_eq!(sandbox.sh(DIGEST).await.text(), before);
    std::fs::write(archive(id), &whole).unwrap();
    ok(sandbox.restore(id).await).await;
    assert_eq!(version(&sandbox).await, "saved");
    client.delete_snapshot(id).await;
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn whatever_breaks_the_workspace_is_whole() {
    let store = FaultyStore::start();
    let bridge = Bridge::start(&store.vars());
    let client = Client::new(&bridge);
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    fill(&sandbox, "v0").await;
    sandbox.stop().await;
    let mut saved = "v0".to_owned();
    // A container takes a second to stop and start.
    let rounds = if bridge.is_local { 200 } else { 30 };
    for round in 1..=rounds {
        // The version of the last save, and that of the boot that runs.
        store.heal();
        let now = version(&sandbox).await;
        assert_eq!(now, saved, "round {round}");
        let next = format!("v{round}");
        if round % 4 == 0 {
            fill(&sandbox, &next).await;
        }
        let present = if round % 4 == 0 { next } else { now };
        let (fault, wait) = {
            let mut random = rand::rng();
            let fault = [Fault::Error, Fault::Cut, Fault::Slow][random.random_range(0..3)];
            store.break_at(random.random_range(0..8), fault);
            (fault, Duration::from_millis(random.random_range(0..120)))
        };
        match round % 3 {
            // A stop, whose save breaks, or not.
            0 => {
                let stopped = sandbox.request(Method::POST, "/stop").send().await.unwrap();
                match stopped.status().as_u16() {
                    204 => saved = present,
                    502 => {
                        assert!(sandbox.running().await, "{fault:?}");
                        assert_eq!(version(&sandbox).await, present);
                        store.heal();
                        sandbox.stop().await;
                        saved = present;
                    }
                    status => panic!("{status}"),
                }
            }
            // A kill during a save.
            1 if bridge.is_local => {
                let boot = sandbox.boot_id().await;
                let stop = sandbox.request(Method::POST, "/stop").send();
                let (stopped, ()) = tokio::join!(stop, async {
                    tokio::time::sleep(wait).await;
                    let _ = std::panic::catch_unwind(|| kill_sandboxd(&boot));
                });
                drop(stopped);
                store.heal();
                eventually("it has ended", async || {
                    !sandbox.running().await || sandbox.boot_id().await != boot
                })
                .await;
                let found = version(&sandbox).await;
                assert!(
                    found == saved || found == present,
                    "{found} is neither {saved} nor {present}"
                );
                saved = found;
                if sandbox.running().await && info(&sandbox).await["saved"]["error"].is_string() {
                    sandbox.stop().await;
                }
            }
            // A start, whose restore breaks.
            _ => {
                store.heal();
                sandbox.stop().await;
                saved = present;
                store.break_at(rand::rng().random_range(0..3), fault);
                let started = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
                if started.status() != 200 {
                    let body: Value = started.json().await.unwrap();
                    assert_eq!(body["code"], "restore_incomplete", "{fault:?} {body}");
                    assert!(!sandbox.running().await, "no workspace that is not whole");
                }
            }
        }
    }
    store.heal();
    assert_eq!(version(&sandbox).await, saved);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_database_that_is_written_to_opens_after_the_restore() {
    let (client, sandbox) = (client(), client().create().await);
    let script = r#"
import sqlite3
db = sqlite3.connect("/workspace/data.db", isolation_level=None)
db.execute("pragma journal_mode=wal")
db.execute("create table t (n integer primary key, text)")
n = 0
while True:
    db.execute("begin")
    for _ in range(50):
        n += 1
        db.execute("insert into t values (?, ?)", (n, "x" * 500))
    db.execute("commit")
    open("/workspace/started", "w").close()
"#;
    write(&sandbox, "write.py", script).await;
    sandbox
        .start(&json!({ "argv": ["python3", "write.py"], "id": "writer" }))
        .await;
    eventually("it writes", async || read(&sandbox, "started").await.is_some()).await;
    for _ in 0..5 {
        let made = sandbox.snapshot(&json!({})).await;
        let copy = create(&client, &json!({ "snapshot": made["id"] })).await;
        let check = "import sqlite3; db = sqlite3.connect('/workspace/data.db');
print(db.execute('pragma integrity_check').fetchone()[0], db.execute('select count(*) % 50 from t').fetchone()[0])";
        let checked = copy
            .exec(&json!({ "argv": ["python3", "-c", check] }))
            .await
            .text();
        assert_eq!(checked, "ok 0\n");
        assert_eq!(copy.destroy().await, 204);
        client.delete_snapshot(made["id"].as_str().unwrap()).await;
    }
    let state = ok(sandbox
        .request(Method::GET, "/process/writer")
        .send()
        .await
        .unwrap())
    .await;
    assert_eq!(state["state"], "running", "it goes on");
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn saves_restores_and_a_delete_at_the_same_time() {
    let (client, sandbox) = (client(), client().create().await);
    fill(&sandbox, "one").await;
    let one = sandbox.snapshot(&json!({})).await;
    let one = one["id"].as_str().unwrap();
    fill(&sandbox, "two").await;
    let (body, other) = (json!({}), json!({}));
    let (first, second, restored) = tokio::join!(
        sandbox.post("/snapshot", &body),
        sandbox.post("/snapshot", &other),
        sandbox.restore(one)
    );
    for made in [first, second] {
        let made = ok(made).await;
        let copy = create(&client, &json!({ "snapshot": made["id"] })).await;
        assert!(["one", "two"].contains(&version(&copy).await.as_str()));
        assert_eq!(copy.destroy().await, 204);
        client.delete_snapshot(made["id"].as_str().unwrap()).await;
    }
    ok(restored).await;
    assert_eq!(version(&sandbox).await, "one");
    // A DELETE ends either, or comes before: then a new sandbox starts.
    let (restored, deleted) = tokio::join!(sandbox.restore(one), sandbox.destroy());
    assert_eq!(deleted, 204);
    if restored.status() == 200 && sandbox.running().await {
        assert_eq!(version(&sandbox).await, "one");
    }
    let (made, deleted) = tokio::join!(sandbox.post("/snapshot", &body), sandbox.destroy());
    assert_eq!(deleted, 204);
    drop(made);
    for id in client.snapshots_of(&sandbox.id).await {
        client.delete_snapshot(&id).await;
    }
    assert_eq!(sandbox.destroy().await, 204);
    assert!(bridge().log.count(&["panicked"]) == 0);
}

#[tokio::test]
async fn an_evicted_object_loses_nothing_at_any_step() {
    let store = FaultyStore::start();
    let bridge = Bridge::start_evictable(&store.vars());
    let client = Client::new(&bridge);
    let sandbox = create(
        &client,
        &json!({ "autoSave": { "on": "sleep" }, "env": { "SET": "yes" } }),
    )
    .await;
    // Each step takes long enough to be hit.
    store.break_at(0, Fault::Slow);
    let rounds = if bridge.is_local { 30 } else { 8 };
    for round in 1..=rounds {
        let present = format!("v{round}");
        fill(&sandbox, &present).await;
        let wait = Duration::from_millis(rand::rng().random_range(0..900));
        let evict = async {
            tokio::time::sleep(wait).await;
            bridge.evict().await;
        };
        if round % 2 == 0 {
            // During the restore.
            sandbox.stop().await;
            let started = sandbox.request(Method::POST, "/start").send();
            drop(tokio::join!(started, evict));
            if round % 4 == 0 {
                // An object that finds the boot does not save what was not restored.
                drop(sandbox.request(Method::POST, "/stop").send().await);
            }
        } else {
            // During the save, the stop, or after it.
            let stopped = sandbox.request(Method::POST, "/stop").send();
            drop(tokio::join!(stopped, evict));
        }
        assert_eq!(version(&sandbox).await, present, "{wait:?}");
        assert_eq!(sandbox.sh("echo $SET").await.text(), "yes\n", "{wait:?}");
    }
    store.heal();
    assert_eq!(sandbox.destroy().await, 204);
    assert_eq!(client.snapshots_of(&sandbox.id).await, [""; 0]);
}
