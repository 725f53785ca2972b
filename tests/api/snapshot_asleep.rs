//! Files of a sandbox that sleeps.

use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::client;
use crate::sandbox_settings::create;

async fn get(sandbox: &Sandbox, path: &str) -> reqwest::Response {
    sandbox.request(Method::GET, path).send().await.unwrap()
}

/// An answer without the sizes of directories, which only a file system has.
async fn listed(response: reqwest::Response) -> Value {
    assert_eq!(response.status(), 200);
    let mut answer: Value = response.json().await.unwrap();
    let entries = answer.get_mut("entries").and_then(Value::as_array_mut);
    let entries = entries.map(std::mem::take);
    let clean = |mut entry: Value| {
        if entry["type"] == "directory" {
            entry["size"] = 0.into();
        }
        entry
    };
    match entries {
        Some(entries) => answer["entries"] = entries.into_iter().map(clean).collect(),
        None => answer = clean(answer),
    }
    answer
}

#[tokio::test]
async fn they_are_read_without_waking_it() {
    let client = client();
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    let make = "mkdir -p src/deep .hidden && printf 'print(1)' > src/main.py && : > empty && ln -s src/main.py link &&
        ln -s /etc/passwd out && seq 200000 > src/deep/numbers && head -c 9000000 /dev/urandom > large &&
        chmod 751 src && touch -d '2001-02-03 04:05:06.789' src/main.py";
    assert_eq!(sandbox.sh(make).await.text(), "");
    let numbers = sandbox
        .get("workspace/src/deep/numbers")
        .await
        .bytes()
        .await
        .unwrap();
    let paths = [
        "/directory/workspace",
        "/directory/workspace?depth=3&hidden=true",
        "/directory/workspace?depth=9&glob=*.py",
        "/directory/workspace?depth=9&glob=src/**",
        "/directory/workspace?limit=2",
        "/directory/workspace?limit=2&cursor=large",
        "/directory/workspace/src",
        "/stat/workspace",
        "/stat/workspace/src/main.py",
        "/stat/workspace/link",
        "/stat/workspace/link?follow=true",
    ];
    let mut awake = Vec::new();
    for path in paths {
        awake.push(listed(get(&sandbox, path).await).await);
    }
    sandbox.stop().await;
    for (path, awake) in paths.into_iter().zip(awake) {
        let response = get(&sandbox, path).await;
        assert_eq!(response.headers()["sandbox-asleep"], "true", "{path}");
        assert_eq!(listed(response).await, awake, "{path}");
    }
    for (path, content) in [
        ("workspace/src/main.py", &b"print(1)"[..]),
        ("workspace/link", b"print(1)"),
        ("workspace/empty", b""),
        ("workspace/src/deep/numbers", &numbers),
    ] {
        let response = sandbox.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["sandbox-asleep"], "true");
        assert_eq!(response.bytes().await.unwrap(), content, "{path}");
    }
    let head = sandbox
        .request(Method::HEAD, "/file/workspace/src/main.py")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"8".parse().unwrap())
    );
    for (path, status, code) in [
        ("/file/workspace/missing", 404, "workspace_read_not_found"),
        ("/file/workspace/src", 400, "is_directory"),
        ("/stat/workspace/missing", 404, "file_not_found"),
        ("/stat/workspace/out?follow=true", 404, "file_not_found"),
    ] {
        let response = get(&sandbox, path).await;
        assert_eq!(response.headers()["sandbox-asleep"], "true", "{path}");
        assert_error(response, status, code).await;
    }
    let lines = sandbox
        .request(Method::GET, "/directory/workspace")
        .header("accept", "application/x-ndjson");
    let lines = lines.send().await.unwrap().text().await.unwrap();
    assert!(
        lines.ends_with("{\"end\":true,\"entries\":5,\"unnamed\":0}\n"),
        "{lines}"
    );
    assert!(!sandbox.running().await);

    // A request that needs the sandbox starts it.
    let part = sandbox
        .request(Method::GET, "/file/workspace/src/main.py")
        .header("range", "bytes=0-4");
    let part = part.send().await.unwrap();
    let (status, headers) = (part.status(), part.headers().clone());
    let text = part.text().await.unwrap();
    assert_eq!((status.as_u16(), text.as_str()), (206, "print"));
    assert!(headers.contains_key("sandbox-restored"));
    sandbox.stop().await;
    let large = sandbox.get("workspace/large").await;
    assert!(large.headers().contains_key("sandbox-boot-id"));
    assert_eq!(large.bytes().await.unwrap().len(), 9_000_000);
    sandbox.stop().await;
    // Whether a link leads out of all that clients may read is for the sandbox to say.
    let outside = sandbox.get("workspace/out").await;
    assert!(outside.headers().contains_key("sandbox-boot-id"));
    assert_eq!(outside.status(), 403);
    assert_eq!(sandbox.destroy().await, 204);
    let gone = listed(get(&sandbox, "/directory/workspace").await).await;
    assert_eq!(gone["entries"], json!([]));
}

#[tokio::test]
async fn a_sandbox_that_has_never_run_has_the_files_it_begins_with() {
    let client = client();
    let origin = client.create().await;
    origin.sh("printf x > a").await;
    let made = origin.snapshot(&json!({})).await;
    let sandbox = create(&client, &json!({ "snapshot": made["id"] })).await;
    let file = sandbox.get("workspace/a").await;
    assert_eq!(file.headers()["sandbox-asleep"], "true");
    assert_eq!(file.text().await.unwrap(), "x");
    assert!(!sandbox.running().await);
    ok(client.request(Method::GET, "/v1/snapshot").send().await.unwrap()).await;
    client.delete_snapshot(made["id"].as_str().unwrap()).await;
    for sandbox in [origin, sandbox] {
        assert_eq!(sandbox.destroy().await, 204);
    }
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_sleeps_does_not_come_back() {
    let client = client();
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    assert_eq!(sandbox.sh("echo word > a; echo word > b").await.code(), 0);
    sandbox.stop().await;
    let search = json!({ "pattern": "word" });
    let found = ok(sandbox.post("/search", &search).await).await;
    assert_eq!(found["matches"].as_array().unwrap().len(), 2, "{found}");
    sandbox.stop().await;
    let deleted = sandbox
        .request(Method::DELETE, "/file/workspace/a")
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), 200);
    sandbox.stop().await;
    assert_eq!(sandbox.sh("ls").await.text(), "b\n");
    assert_eq!(sandbox.destroy().await, 204);
}
