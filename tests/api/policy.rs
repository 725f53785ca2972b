//! The scheduling policies of containers. Only where the tests run on containers of this machine.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::container::on_containers;
use crate::sandbox_settings::{create, info, patch};

/// The image of the shared bridge's sandboxes, with one more file.
pub fn other_image() -> String {
    let base = sandbar_tests::docker::image_of_the_project();
    format!("FROM {base}\nUSER root\nRUN echo other > /etc/image-name\n")
}

#[tokio::test]
async fn each_sandbox_has_the_image_that_it_names() {
    if !on_containers() {
        return;
    }
    let bridge = Bridge::start_with_other_image(&other_image(), &[]);
    let client = Client::new(&bridge);
    let base = create(&client, &json!({ "image": "base", "instance": "lite" })).await;
    let other = create(&client, &json!({ "image": "other" })).await;
    let usual = client.create().await;
    let script = "cat /etc/image-name 2>/dev/null || echo base";
    for (sandbox, name) in [(&base, "base\n"), (&other, "other\n"), (&usual, "base\n")] {
        assert_eq!(sandbox.sh(script).await.text(), name);
    }
    assert_eq!(info(&base).await["settings"]["instance"], "lite");

    let changed: serde_json::Value = patch(&base, &json!({ "image": "other" }))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(changed["pendingRestart"], json!(["image"]));
    assert_eq!(base.sh(script).await.text(), "base\n", "the next start takes it");
    assert_eq!(base.post("/stop", &json!({})).await.status(), 204);
    assert_eq!(base.sh(script).await.text(), "other\n");

    let unknown = client
        .request(Method::POST, "/v1/sandbox")
        .json(&json!({ "image": "third" }));
    let text = assert_error(unknown.send().await.unwrap(), 400, "invalid_request").await;
    assert!(text.contains("base") && text.contains("other"), "{text}");
    for sandbox in [base, other, usual] {
        assert_eq!(sandbox.destroy().await, 204);
    }
}

#[tokio::test]
async fn the_same_worker_runs_on_the_default_policy() {
    if !on_containers() {
        return;
    }
    let bridge = Bridge::start_default_policy(&[]);
    let client = Client::new(&bridge);
    for body in [json!({ "image": "base" }), json!({ "instance": "lite" })] {
        let created = client.request(Method::POST, "/v1/sandbox").json(&body);
        let text = assert_error(created.send().await.unwrap(), 501, "not_supported").await;
        assert!(text.contains("scheduling policy"), "{text}");
    }
    let sandbox = create(&client, &json!({ "env": { "A": "1" }, "labels": { "a": "1" } })).await;
    assert_eq!(
        sandbox.sh("echo $A; cat /etc/hostname >/dev/null").await.text(),
        "1\n"
    );
    sandbox.put("workspace/f", "x").await;
    assert_eq!(sandbox.sh("cat f").await.text(), "x");
    assert_eq!(info(&sandbox).await["state"], "running");
    assert_eq!(sandbox.destroy().await, 204);
}
