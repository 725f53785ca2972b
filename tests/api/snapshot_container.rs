//! The file system of a container as part of a snapshot. Only where the tests run on containers of
//! this machine.

use reqwest::Method;
use sandbar_tests::docker::docker;
use sandbar_tests::process::ok;
use sandbar_tests::snapshot::object;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::client;
use crate::container::on_containers;
use crate::policy::other_image;
use crate::sandbox_settings::{create, info, patch};

/// Installs a program outside of the workspace, and writes a file in it.
const INSTALL: &str = "mkdir -p $HOME/bin && printf '#!/bin/sh\\necho installed\\n' > $HOME/bin/tool \
                       && chmod +x $HOME/bin/tool && echo one > /workspace/a.txt";

const CHECK: &str = "$HOME/bin/tool; cat /workspace/a.txt";

/// The output of a command, and the header that says what was restored.
async fn check(sandbox: &Sandbox) -> (String, Option<String>) {
    let response = sandbox
        .request(Method::POST, "/exec")
        .header("accept", "application/json")
        .json(&json!({ "command": format!("{{ {CHECK}; }} 2>&1") }));
    let response = response.send().await.unwrap();
    let kind = response.headers().get("sandbox-restored-kind");
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
    let output: Value = response.json().await.unwrap();
    (output["stdout"].as_str().unwrap().to_owned(), kind)
}

async fn snapshot(client: &Client, sandbox: &Sandbox) -> Value {
    let info = info(sandbox).await;
    let id = info["saved"]["snapshot"]
        .as_str()
        .unwrap_or_else(|| panic!("{info}"));
    let response = client.request(Method::GET, &format!("/v1/snapshot/{id}"));
    ok(response.send().await.unwrap()).await
}

#[tokio::test]
async fn installed_programs_outlive_sleep() {
    if !on_containers() {
        return;
    }
    let client = client();
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    sandbox.sh(INSTALL).await;
    sandbox.stop().await;
    assert_eq!(snapshot(&client, &sandbox).await["kind"], "container");
    let both = ("installed\none\n".to_owned(), Some("container".to_owned()));
    assert_eq!(check(&sandbox).await, both);
    assert_eq!(info(&sandbox).await["restored"]["kind"], "container");

    // Nothing changes in the workspace, but outside of it.
    sandbox.sh("echo 'echo again' >> $HOME/bin/tool").await;
    sandbox.stop().await;
    let again = ("installed\nagain\none\n".to_owned(), Some("container".to_owned()));
    assert_eq!(check(&sandbox).await, again);

    let forked = ok(sandbox.post("/fork", &json!({ "count": 2 })).await).await;
    for item in forked["sandboxes"].as_array().unwrap() {
        let fork = client.sandbox(item["id"].as_str().unwrap());
        assert_eq!(check(&fork).await, again);
        assert_eq!(fork.destroy().await, 204);
    }
    assert_eq!(sandbox.destroy().await, 204);
}

/// The platform keeps such a file system for 30 days. Here, its image is deleted.
#[tokio::test]
async fn one_that_is_gone_leaves_the_archive() {
    if !on_containers() {
        return;
    }
    let client = client();
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    sandbox.sh(INSTALL).await;
    sandbox.stop().await;
    let id = snapshot(&client, &sandbox).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let manifest = std::fs::read(object(&format!("manifest/{id}.json"))).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let handle = manifest["container"]["handle"]["id"].as_str().unwrap();
    docker(&[
        "image",
        "rm",
        "--force",
        &format!("workerd-container-snap-{handle}"),
    ]);
    let (output, kind) = check(&sandbox).await;
    assert!(
        !output.contains("installed") && output.ends_with("one\n"),
        "{output}"
    );
    assert_eq!(kind.as_deref(), Some("archive"));
    let restored = info(&sandbox).await["restored"].clone();
    assert_eq!(restored["kind"], "archive");
    assert!(restored["error"].is_string(), "{restored}");
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn another_image_leaves_the_archive() {
    if !on_containers() {
        return;
    }
    let bridge = Bridge::start_with_other_image(&other_image(), &[]);
    let client = Client::new(&bridge);
    let sandbox = create(&client, &json!({ "autoSave": { "on": "sleep" } })).await;
    sandbox.sh(INSTALL).await;
    sandbox.stop().await;
    patch(&sandbox, &json!({ "image": "other" })).await;
    let (output, kind) = check(&sandbox).await;
    assert!(
        !output.contains("installed") && output.ends_with("one\n"),
        "{output}"
    );
    assert_eq!(kind.as_deref(), Some("archive"));
    let error = info(&sandbox).await["restored"]["error"].clone();
    assert_eq!(error, "the sandbox has another image now");
    assert_eq!(sandbox.destroy().await, 204);
}
