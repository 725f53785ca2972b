//! A command that swaps directories for links leads no request outside.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::ready;
use reqwest::{Method, Response};
use sandbar_tests::client::assert_error;
use sandbar_tests::file::{Watch, WatchEvent};
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::sandbox;

/// Makes `/workspace/d` a directory, then a link to one outside, and so on without end. Each time
/// from nothing: a request may have created something there meanwhile. Files outside change, too,
/// which a watch must not tell.
const SWAP: &str = "\
mkdir -p /tmp/outside/sub
echo secret-outside > /tmp/outside/f; echo secret-outside > /tmp/outside/sub/f
touch /tmp/outside/only-outside /tmp/outside/sub/only-outside
echo ready
while :; do
  rm -rf /workspace/d; mkdir -p /workspace/d/sub
  echo inside > /workspace/d/f; echo inside > /workspace/d/sub/f
  rm -rf /workspace/d; ln -sT /tmp/outside /workspace/d
  touch /tmp/outside/only-outside /tmp/outside/sub/only-outside
done 2>/dev/null";

/// Prints the files outside, with inodes and, but for those that the swapper touches, times.
const OUTSIDE: &str = "find /tmp/outside ! -name only-outside -printf '%p %i %m %s %T@\\n' | sort; \
    find /tmp/outside -printf '%p %i\\n' | sort; cat /tmp/outside/f /tmp/outside/sub/f";

/// Makes the archive that is restored: with the names that are outside, and a new one.
const PACK: &str = "cd /tmp && mkdir -p packed/sub && echo inside > packed/f && echo inside > packed/sub/f && \
    echo inside > packed/restored && tar -C packed -cf /workspace/archive.tar .";

/// Whether a text has what is only outside.
fn leaks(text: &str) -> bool {
    text.contains("secret-outside") || text.contains("only-outside")
}

/// The text of what a watch tells, up to the creation of `/workspace/end`.
async fn told_until_the_end(mut watch: Watch) -> String {
    let events = watch.until("created /workspace/end").await;
    let texts: Vec<_> = events.iter().map(WatchEvent::text).collect();
    texts.join("\n")
}

/// The text of a body; less than all of it where it breaks off.
async fn read_all(response: Response) -> String {
    let body = response.bytes_stream();
    let parts = body.take_while(|part| ready(part.is_ok()));
    let parts: Vec<_> = parts.filter_map(async |part| part.ok()).collect().await;
    String::from_utf8_lossy(&parts.concat()).into_owned()
}

/// The events of a watch in a short time, or the error.
async fn watch_briefly(sandbox: &Sandbox, rest: &str) -> String {
    let request = sandbox.request(Method::GET, &format!("/watch/{rest}"));
    let response = request.send().await.unwrap();
    let end = tokio::time::sleep(Duration::from_millis(30));
    let body = response.bytes_stream().take_until(Box::pin(end));
    let parts = body.take_while(|part| ready(part.is_ok()));
    let parts: Vec<_> = parts.filter_map(async |part| part.ok()).collect().await;
    String::from_utf8_lossy(&parts.concat()).into_owned()
}

#[tokio::test]
async fn nothing_outside_is_read_written_or_removed_while_directories_become_links() {
    // A bridge of its own: thousands of lines would push those of other tests out of the log.
    let sandbox = Client::new(&Bridge::start(&[])).create().await;
    let swapper = sandbox.start_sh(SWAP).await;
    swapper
        .wait(&json!({ "for": "log", "pattern": "ready", "timeout_ms": 10_000 }))
        .await;
    let outside = sandbox.sh(OUTSIDE).await.text();
    assert_eq!(sandbox.sh(PACK).await.code(), 0);
    let archive = sandbox.get("workspace/archive.tar").await.bytes().await.unwrap();
    let (watch, _) = sandbox.watch("workspace?recursive=true").await;
    let told = tokio::spawn(told_until_the_end(watch));
    let deadline = Instant::now() + Duration::from_secs(6);
    let request = |method: Method, rest: &str| sandbox.request(method, rest);
    let mut statuses = std::collections::BTreeSet::new();
    let mut watched = Vec::new();
    while Instant::now() < deadline {
        let responses = [
            request(Method::GET, "/file/workspace/d/f").send().await,
            request(Method::GET, "/stat/workspace/d/f?follow=true")
                .send()
                .await,
            request(Method::GET, "/directory/workspace?depth=9").send().await,
            request(Method::GET, "/directory/workspace?depth=9")
                .header("accept", "application/x-ndjson")
                .send()
                .await,
            request(Method::PUT, "/file/workspace/d/new")
                .body("x")
                .send()
                .await,
            request(Method::PUT, "/file/workspace/d/f?in_place=true")
                .body("inside")
                .send()
                .await,
            request(Method::PUT, "/file/workspace/d/f?append=true")
                .body("inside")
                .send()
                .await,
            request(Method::PUT, "/directory/workspace/d/made").send().await,
            request(Method::PATCH, "/file/workspace/d/f")
                .json(&json!({ "mode": "0666" }))
                .send()
                .await,
            request(Method::POST, "/copy")
                .json(&json!({ "from": "d/f", "to": "d/copy" }))
                .send()
                .await,
            request(Method::POST, "/copy")
                .json(&json!({ "from": "d", "to": "tree", "recursive": true }))
                .send()
                .await,
            request(Method::POST, "/move")
                .json(&json!({ "from": "d/new", "to": "d/moved" }))
                .send()
                .await,
            request(Method::POST, "/edit")
                .json(&json!({ "files": [{ "path": "d/sub/f", "edits": [{ "old": "i", "new": "i" }] }] }))
                .send()
                .await,
            request(Method::POST, "/edit")
                .json(&json!({ "files": [{ "path": "d/f", "edits": [{ "old": "secret", "new": "x" }] }] }))
                .send()
                .await,
            request(Method::POST, "/search")
                .json(&json!({ "pattern": "outside", "path": "d" }))
                .send()
                .await,
            request(Method::POST, "/search")
                .json(&json!({ "pattern": "outside" }))
                .send()
                .await,
            request(Method::DELETE, "/file/workspace/tree?recursive=true")
                .send()
                .await,
            request(Method::DELETE, "/file/workspace/d/moved").send().await,
            request(Method::DELETE, "/file/workspace/d/made?recursive=true")
                .send()
                .await,
            request(Method::DELETE, "/file/workspace/d/sub/f").send().await,
            request(Method::POST, "/persist?path=d").send().await,
            request(Method::POST, "/persist?excludes=archive.tar")
                .send()
                .await,
            request(Method::POST, "/hydrate?path=d")
                .body(archive.clone())
                .send()
                .await,
            request(Method::POST, "/hydrate?path=d/new/deep")
                .body(archive.clone())
                .send()
                .await,
            request(Method::GET, "/changes/workspace/d").send().await,
            request(Method::GET, "/changes/workspace/d/sub?since=1")
                .send()
                .await,
        ];
        for response in responses {
            let response = response.unwrap();
            let (path, status) = (response.url().path().to_owned(), response.status().as_u16());
            // An archive breaks off when its directory goes.
            let text = read_all(response).await;
            assert!(!leaks(&text), "{path}: {text}");
            // A directory may be gone when a write in it ends: ENOENT, ENOTEMPTY.
            let is_gone = ["(os error 2)", "(os error 39)"]
                .iter()
                .any(|error| text.contains(error));
            let is_known = [200, 400, 403, 404, 409].contains(&status) || (status == 502 && is_gone);
            assert!(is_known, "{path}: {status} {text}");
            if let Ok(page) = serde_json::from_str::<Value>(&text)
                && let Some(entries) = page["entries"].as_array()
            {
                let size = |entry: &Value| entry["size"] == "secret-outside\n".len();
                assert!(
                    !entries.iter().any(|entry| entry["type"] == "file" && size(entry)),
                    "{text}"
                );
            }
            statuses.insert(status);
        }
        watched.push(watch_briefly(&sandbox, "workspace/d?recursive=true").await);
        watched.push(watch_briefly(&sandbox, "workspace/d/sub").await);
    }
    assert!(
        statuses.is_superset(&[200, 403].into()),
        "the requests met both: {statuses:?}"
    );
    swapper.end().await;
    sandbox.sh("touch end").await;
    let told = told.await.unwrap();
    assert!(told.contains("/workspace/d/sub/f"), "{told}");
    assert!(watched.iter().any(|told| told.contains("watching")));
    for told in watched.iter().chain([&told]) {
        assert!(!leaks(told), "{told}");
    }
    assert_eq!(sandbox.sh(OUTSIDE).await.text(), outside);
    sandbox.destroy().await;
}

#[tokio::test]
async fn paths_out_of_the_workspace_are_403_for_every_operation() {
    let sandbox = sandbox().await;
    for path in ["etc/passwd", "workspace/../etc/passwd", "workspace%2F..%2Fetc"] {
        for (method, prefix) in [
            (Method::DELETE, "file"),
            (Method::PATCH, "file"),
            (Method::GET, "directory"),
            (Method::PUT, "directory"),
            (Method::GET, "stat"),
        ] {
            let request = sandbox
                .request(method, &format!("/{prefix}/{path}"))
                .json(&json!({}));
            assert_error(request.send().await.unwrap(), 403, "invalid_request").await;
        }
    }
    assert!(!sandbox.running().await);
    sandbox.sh("ln -s /etc etc; ln -s ../etc/passwd passwd").await;
    for (method, rest) in [
        (Method::DELETE, "/file/workspace/etc/passwd"),
        (Method::PATCH, "/file/workspace/passwd"),
        (Method::PUT, "/directory/workspace/etc/new"),
        (Method::GET, "/directory/workspace/etc"),
    ] {
        let request = sandbox.request(method, rest).json(&json!({}));
        assert_error(request.send().await.unwrap(), 403, "invalid_request").await;
    }
    for (from, to) in [("etc/passwd", "x"), ("passwd", "x")] {
        assert_error(sandbox.copy(from, to).await, 403, "invalid_request").await;
    }
    assert_error(sandbox.rename("etc/passwd", "x").await, 403, "invalid_request").await;
    sandbox.put("workspace/f", "x").await;
    for to in ["etc/new", "/etc/new"] {
        assert_error(sandbox.rename("f", to).await, 403, "invalid_request").await;
        assert_error(sandbox.copy("f", to).await, 403, "invalid_request").await;
    }
    sandbox.destroy().await;
}
