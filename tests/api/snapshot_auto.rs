//! `autoSave`: workspaces that outlive sleep.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::kill::kill_sandboxd;
use sandbar_tests::process::ok;
use sandbar_tests::shared::eventually;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::json;

use crate::sandbox_settings::{create, info, patch};
use crate::snapshot::{read, write};
use crate::{bridge, client};

async fn saving(client: &Client) -> Sandbox {
    create(client, &json!({ "autoSave": { "on": "sleep" } })).await
}

async fn saved_id(sandbox: &Sandbox) -> String {
    let info = info(sandbox).await;
    info["saved"]["snapshot"]
        .as_str()
        .unwrap_or_else(|| panic!("{info}"))
        .to_owned()
}

#[tokio::test]
async fn files_outlive_sleep() {
    let client = client();
    let sandbox = create(
        &client,
        &json!({ "autoSave": { "on": "sleep" }, "sleepAfter": "1s" }),
    )
    .await;
    assert!(info(&sandbox).await.get("saved").is_none());
    write(&sandbox, "a.txt", "one").await;
    eventually("it sleeps", async || !sandbox.running().await).await;
    let first = saved_id(&sandbox).await;
    let woken = sandbox.exec_json(&json!({ "argv": ["cat", "a.txt"] })).await;
    assert_eq!(woken.headers()["sandbox-restored"], first.as_str());
    assert!(woken.text().await.unwrap().contains("b25l"));
    // Nothing has changed: it is not saved again.
    eventually("it sleeps again", async || !sandbox.running().await).await;
    assert_eq!(saved_id(&sandbox).await, first);
    write(&sandbox, "a.txt", "two").await;
    eventually("it sleeps once more", async || !sandbox.running().await).await;
    let second = saved_id(&sandbox).await;
    assert_ne!(second, first);
    assert_eq!(
        client.snapshots_of(&sandbox.id).await,
        [second],
        "it replaces the one before"
    );
    assert_eq!(sandbox.sh("cat a.txt").await.text(), "two");
    assert_eq!(sandbox.destroy().await, 204);
    assert_eq!(client.snapshots_of(&sandbox.id).await, [""; 0]);
}

#[tokio::test]
async fn a_client_that_comes_during_the_save_finds_its_files() {
    let client = client();
    let sandboxes = join_all((0..4).map(|_| saving(&client))).await;
    join_all(sandboxes.iter().map(async |sandbox| {
        sandbox
            .sh("head -c 3000000 /dev/urandom > r; sha256sum r > sum")
            .await;
        for round in 0..6_u64 {
            let (stopped, ()) = tokio::join!(sandbox.request(Method::POST, "/stop").send(), async {
                tokio::time::sleep(Duration::from_millis(round * 15)).await;
                assert_eq!(sandbox.sh("sha256sum -c sum").await.text(), "r: OK\n");
            });
            assert_eq!(stopped.unwrap().status(), 204);
        }
        assert_eq!(sandbox.destroy().await, 204);
    }))
    .await;
}

#[tokio::test]
async fn a_crash_costs_at_most_an_interval() {
    let client = client();
    let settings = json!({ "autoSave": { "on": "sleep", "interval": "10s" } });
    let sandbox = create(&client, &settings).await;
    write(&sandbox, "a.txt", "saved").await;
    eventually("it is saved while it runs", async || {
        info(&sandbox).await["saved"]["snapshot"].is_string()
    })
    .await;
    let id = saved_id(&sandbox).await;
    if bridge().is_local {
        write(&sandbox, "a.txt", "lost").await;
        kill_sandboxd(&sandbox.boot_id().await);
        eventually("it has ended", async || !sandbox.running().await).await;
        let woken = sandbox.exec_json(&json!({ "argv": ["cat", "a.txt"] })).await;
        assert_eq!(woken.headers()["sandbox-restored"], id.as_str());
        assert_eq!(read(&sandbox, "a.txt").await.as_deref(), Some("saved"));
    }
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn delete_can_save_first() {
    let client = client();
    let sandbox = client.create().await;
    let nothing = sandbox
        .request(Method::DELETE, "?save=true")
        .send()
        .await
        .unwrap();
    assert_error(nothing, 502, "snapshot_error").await;
    write(&sandbox, "a.txt", "kept").await;
    let deleted = sandbox
        .request(Method::DELETE, "?save=true")
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), 204);
    let id = deleted.headers()["sandbox-saved"].to_str().unwrap().to_owned();
    assert!(!sandbox.running().await);
    let next = create(&client, &json!({ "snapshot": id })).await;
    assert_eq!(next.sh("cat a.txt").await.text(), "kept");
    assert_eq!(next.destroy().await, 204);
    assert_eq!(client.delete_snapshot(&id).await.status(), 204);
    // Of one that sleeps, it is the last save.
    let sandbox = saving(&client).await;
    write(&sandbox, "a.txt", "asleep").await;
    sandbox.stop().await;
    let last = saved_id(&sandbox).await;
    let deleted = sandbox
        .request(Method::DELETE, "?save=true")
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.headers()["sandbox-saved"], last.as_str());
    let path = format!("/v1/snapshot/{last}");
    let kept = ok(client.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!(kept["autoSave"], false);
    assert_eq!(client.delete_snapshot(&last).await.status(), 204);
}

#[tokio::test]
async fn processes_with_restart_are_started_again() {
    let client = client();
    let settings = json!({ "autoSave": { "on": "sleep" }, "env": { "WORD": "started" } });
    let sandbox = create(&client, &settings).await;
    let body = json!({
        "argv": ["sh", "-c", "echo $WORD >> count; sleep 1000"], "id": "service", "restart": true, "keep_awake": false,
        "env": { "A": "b" }
    });
    sandbox.start(&body).await;
    sandbox
        .start(&json!({ "argv": ["sleep", "1000"], "id": "once" }))
        .await;
    eventually("it has started", async || read(&sandbox, "count").await.is_some()).await;
    sandbox.stop().await;
    eventually("it starts again", async || {
        sandbox.sh("cat count").await.text() == "started\nstarted\n"
    })
    .await;
    let processes = sandbox.processes("").await;
    let ids: Vec<_> = processes.iter().map(|process| &process["id"]).collect();
    assert!(
        ids.contains(&&json!("service")) && !ids.contains(&&json!("once")),
        "{ids:?}"
    );
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_program_runs_before_each_save() {
    let client = client();
    let sandbox = saving(&client).await;
    let hook = "mkdir .sandbox; printf '#!/bin/sh\\ndate +%%s%%N > dumped; echo done; exit 3\\n' > .sandbox/before-save;
                chmod +x .sandbox/before-save";
    assert_eq!(sandbox.sh(hook).await.text(), "");
    let made = sandbox.snapshot(&json!({})).await;
    assert_eq!(made["hook"], json!({ "exitCode": 3, "output": "done\n" }));
    let first = read(&sandbox, "dumped").await.expect("a dump");
    sandbox.stop().await;
    let second = read(&sandbox, "dumped").await.expect("a dump");
    assert_ne!(first, second);
    client.delete_snapshot(made["id"].as_str().unwrap()).await;
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_save_that_fails_keeps_the_sandbox_awake() {
    let dead = "http://127.0.0.1:9";
    let bridge = Bridge::start(&[
        ("SNAPSHOT_BUCKET", "saves"),
        ("SNAPSHOT_ENDPOINT", dead),
        ("SNAPSHOT_ACCESS_KEY_ID", "id"),
        ("SNAPSHOT_SECRET_ACCESS_KEY", "hush"),
    ]);
    let client = Client::new(&bridge);
    let sandbox = create(
        &client,
        &json!({ "autoSave": { "on": "sleep" }, "sleepAfter": "1s" }),
    )
    .await;
    write(&sandbox, "a.txt", "here").await;
    eventually("the failure is told", async || {
        info(&sandbox).await["saved"]["error"].is_string()
    })
    .await;
    assert!(sandbox.running().await);
    let stopped = sandbox.request(Method::POST, "/stop").send().await.unwrap();
    let text = assert_error(stopped, 502, "snapshot_error").await;
    assert!(!text.contains("hush"), "{text}");
    assert!(sandbox.running().await);
    assert_eq!(read(&sandbox, "a.txt").await.as_deref(), Some("here"));
    // Without autoSave it sleeps.
    assert_eq!(patch(&sandbox, &json!({ "autoSave": null })).await.status(), 200);
    sandbox.stop().await;
    assert!(!sandbox.running().await);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn the_last_save_stays_without_auto_save() {
    let client = client();
    let sandbox = saving(&client).await;
    write(&sandbox, "a.txt", "a").await;
    sandbox.stop().await;
    let last = saved_id(&sandbox).await;
    assert_eq!(patch(&sandbox, &json!({ "autoSave": null })).await.status(), 200);
    assert_eq!(sandbox.sh("ls").await.text(), "", "nothing is restored any more");
    assert_eq!(sandbox.destroy().await, 204);
    assert_eq!(client.snapshots_of(&sandbox.id).await, [last.as_str()]);
    assert_eq!(client.delete_snapshot(&last).await.status(), 204);
}
