//! The list of sandboxes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::sandbox_settings::{create, info, patch, unique};
use crate::{client, eventually};

/// One page.
async fn page(client: &Client, query: &str) -> Value {
    let request = client.request(Method::GET, &format!("/v1/sandbox?{query}"));
    ok(request.send().await.unwrap()).await
}

/// The sandboxes of all pages, in order.
async fn list(client: &Client, query: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = page(client, &format!("{query}&cursor={cursor}")).await;
        assert!(page.get("incomplete").is_none(), "{page}");
        all.extend(page["sandboxes"].as_array().unwrap().iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return all,
        }
    }
}

fn ids(listed: &[Value]) -> Vec<String> {
    let id = |sandbox: &Value| sandbox["id"].as_str().unwrap().to_owned();
    listed.iter().map(id).collect()
}

#[tokio::test]
async fn sandboxes_are_listed_with_their_labels_and_states() {
    let client = client();
    let team = unique("team");
    let query = format!("label=team:{team}");
    let labels = |other: &str| json!({ "labels": { "team": team, "x": other } });
    let first = create(&client, &labels("a:b c")).await;
    let second = create(&client, &labels("2")).await;
    assert_eq!(
        ids(&list(&client, &query).await),
        [second.id.as_str(), &first.id],
        "newest first"
    );
    assert_eq!(
        ids(&list(&client, &format!("{query}&label=x:a%3Ab%20c")).await),
        [first.id.as_str()]
    );
    assert_eq!(
        list(&client, &format!("{query}&label=x:3")).await,
        [] as [Value; 0]
    );

    first.boot_id().await;
    let with_state = |state: &str| {
        let query = format!("{query}&state={state}");
        let client = client.clone();
        async move { ids(&list(&client, &query).await) }
    };
    eventually("a start is seen", || async {
        with_state("running").await == [first.id.as_str()]
    })
    .await;
    assert_eq!(with_state("new").await, [second.id.as_str()]);
    let listed = list(&client, &format!("{query}&state=running")).await;
    let mut shown = info(&first).await;
    for live in ["bootId", "lastActiveAt", "ports", "mounts", "tunnels"] {
        shown.as_object_mut().unwrap().remove(live);
    }
    assert_eq!(listed, [shown]);
    assert_eq!(first.post("/stop", &json!({})).await.status(), 204);
    eventually("a stop is seen", || async {
        with_state("stopped").await == [first.id.as_str()]
    })
    .await;

    assert_eq!(
        patch(&second, &json!({ "labels": { "team": null } }))
            .await
            .status(),
        200
    );
    assert_eq!(ids(&list(&client, &query).await), [first.id.as_str()]);
    assert_eq!(second.destroy().await, 204);
    assert_eq!(first.destroy().await, 204);
    assert_eq!(list(&client, &query).await, [] as [Value; 0]);
}

/// Creates `count` sandboxes with the label `batch` by 32 clients.
async fn create_many(client: &Client, batch: &str, count: usize) -> Vec<Sandbox> {
    let create = |i: usize| {
        let body = json!({ "labels": { "batch": batch, "number": i.to_string() } });
        async move { create(client, &body).await }
    };
    stream::iter(0..count)
        .map(create)
        .buffer_unordered(32)
        .collect()
        .await
}

async fn destroy_all(sandboxes: &[Sandbox]) {
    let destroy = |sandbox: Sandbox| async move { assert_eq!(sandbox.destroy().await, 204) };
    let destroyed = stream::iter(sandboxes.to_vec()).map(destroy);
    destroyed.buffer_unordered(32).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn a_list_of_thousands_has_each_once_while_others_come_and_go() {
    let bridge = Bridge::start(&[]);
    let client = Client::new(&bridge);
    let kept = create_many(&client, "kept", 1000).await;
    let expected: BTreeSet<String> = kept.iter().map(|sandbox| sandbox.id.clone()).collect();
    assert_eq!(expected.len(), 1000);
    let listed = |ids: Vec<String>| {
        let set: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(set.len(), ids.len(), "none twice");
        set
    };
    assert_eq!(
        listed(ids(&list(&client, "label=batch:kept&limit=1000").await)),
        expected
    );

    let is_done = AtomicBool::new(false);
    let come_and_go = async {
        while !is_done.load(Relaxed) {
            destroy_all(&create_many(&client, "others", 32).await).await;
        }
    };
    let pages = async {
        for query in ["limit=75", "limit=500&state=new", "label=batch:kept&limit=90"] {
            let found = listed(ids(&list(&client, query).await));
            assert!(expected.is_subset(&found), "{query}: none missing");
        }
        is_done.store(true, Relaxed);
    };
    tokio::join!(come_and_go, pages);

    destroy_all(&kept[..500]).await;
    let rest: BTreeSet<String> = kept[500..].iter().map(|sandbox| sandbox.id.clone()).collect();
    assert_eq!(listed(ids(&list(&client, "label=batch:kept").await)), rest);
    let all = list(&client, "limit=1000").await;
    assert!(
        all.is_sorted_by_key(|sandbox| std::cmp::Reverse(sandbox["createdAt"].as_str().unwrap().to_owned()))
    );
}

#[tokio::test]
async fn the_list_is_right_again_after_objects_and_the_worker_were_lost() {
    let (bridge, worker) = Bridge::start_restartable(&[("INDEX_RETRY_INTERVAL", "1s")]);
    let client = Client::new(&bridge);
    let kept = create_many(&client, "kept", 100).await;
    let code = std::fs::read_to_string(&worker).unwrap();
    // Requests that are under way fail, and what they did is known afterwards.
    let broken = async {
        let attempt = |i: usize| {
            let client = client.clone();
            async move {
                let id = format!("broken{}", "ab".repeat(i % 40 + 1));
                let body = json!({ "id": id, "labels": { "batch": "broken" } });
                let sent = client
                    .request(Method::POST, "/v1/sandbox")
                    .json(&body)
                    .send()
                    .await;
                let destroyed = client.sandbox(&id).request(Method::DELETE, "").send().await;
                let _ = (sent, destroyed);
            }
        };
        stream::iter(0..240)
            .map(attempt)
            .buffer_unordered(16)
            .collect::<Vec<()>>()
            .await;
    };
    let restart = async {
        for i in 0..2 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            std::fs::write(&worker, format!("{code}\n// Restarted {i}.\n")).unwrap();
        }
    };
    tokio::join!(broken, restart);
    eventually("the Worker answers again", || async {
        let response = client.request(Method::GET, "/health").send().await;
        response.is_ok_and(|response| response.status() == 200)
    })
    .await;
    eventually("the list is what the objects say", || async {
        let listed: BTreeSet<String> = ids(&list(&client, "label=batch:broken&limit=1000").await)
            .into_iter()
            .collect();
        let mut known = BTreeSet::new();
        for i in 0..40 {
            let id = format!("broken{}", "ab".repeat(i + 1));
            let response = client.sandbox(&id).request(Method::GET, "").send().await.unwrap();
            if response.status() == 200 {
                known.insert(id);
            }
        }
        listed == known
    })
    .await;
    let listed: BTreeSet<String> = ids(&list(&client, "label=batch:kept").await)
        .into_iter()
        .collect();
    assert_eq!(listed, kept.iter().map(|sandbox| sandbox.id.clone()).collect());
}
