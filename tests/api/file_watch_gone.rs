//! A watch whose path leads to another directory by now: the kernel does not tell that.

use std::time::Duration;

use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::process::ok;
use serde_json::Value;
use tokio::time::timeout;

use crate::sandbox;

async fn changes(sandbox: &Sandbox, rest: &str) -> Value {
    let request = sandbox.request(Method::GET, &format!("/changes/workspace/{rest}"));
    ok(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_new_watch_is_of_the_directory_that_the_path_leads_to_now() {
    let sandbox = sandbox().await;
    for (make, swap) in [
        ("mkdir -p a/w", "mv a old; mkdir -p a/w"),
        ("mkdir one two; mkdir a; ln -s ../one a/w", "ln -sfT ../two a/w"),
    ] {
        sandbox.sh(make).await;
        let (watch, _) = sandbox.watch("workspace/a/w?recursive=true").await;
        let first = changes(&sandbox, "a/w").await;
        drop(watch);
        sandbox.sh(swap).await;
        let since = first["version"].as_str().unwrap();
        assert_eq!(
            changes(&sandbox, &format!("a/w?since={since}")).await["status"],
            "resync"
        );
        let (mut watch, _) = sandbox.watch("workspace/a/w?recursive=true").await;
        sandbox.sh("touch a/w/new").await;
        watch.until("created /workspace/a/w/new").await;
        sandbox.sh("rm -r *").await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_is_told_that_the_directory_is_gone() {
    let sandbox = sandbox().await;
    sandbox.sh("mkdir -p a/w b").await;
    let (mut moved, _) = sandbox.watch("workspace/a/w").await;
    let (mut stays, _) = sandbox.watch("workspace/b").await;
    sandbox.sh("mv a c; mkdir -p a/w").await;
    moved.until("deleted /workspace/a/w").await;
    let end = timeout(Duration::from_secs(5), moved.next()).await;
    assert_eq!(end.unwrap(), None, "the stream ends");
    sandbox.sh("touch b/f").await;
    stays.until("created /workspace/b/f").await;
    sandbox.destroy().await;
}
