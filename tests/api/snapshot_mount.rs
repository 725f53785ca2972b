//! Buckets that are mounted again after a restore.

use sandbar_tests::Sandbox;
use serde_json::json;

use crate::bucket::{BUCKET, Setting};
use crate::sandbox_settings::{create, patch};
use crate::{binding, client};

async fn saving() -> Sandbox {
    create(&client(), &json!({ "autoSave": { "on": "sleep" } })).await
}

/// Puts the sandbox to sleep, and returns the output of the command that wakes it.
async fn woken(sandbox: &Sandbox, script: &str) -> String {
    sandbox.stop().await;
    let output = sandbox.sh(script).await.text();
    output.trim_end().to_owned()
}

#[tokio::test]
async fn a_bucket_is_there_before_the_first_command() {
    let Some(setting) = Setting::new_in(saving().await).await else {
        return;
    };
    let (sandbox, server) = (&setting.sandbox, &setting.server);
    server.put(BUCKET, "of/another.txt", "from elsewhere");
    setting.mounted("/workspace/data", json!({})).await;
    // With credentials that stay in the Worker.
    let more = json!({ "credentialProxy": true, "prefix": "of" });
    setting.mounted("/mnt/proxied", more).await;
    assert_eq!(setting.sh("echo mine > notes; cp notes data/copy").await, "");
    server.put(BUCKET, "of/later.txt", "later");

    let script = "cat notes data/copy data/of/another.txt /mnt/proxied/later.txt; echo; \
                  echo again > data/again; echo proxied > /mnt/proxied/new";
    assert_eq!(woken(sandbox, script).await, "mine\nmine\nfrom elsewherelater");
    assert_eq!(server.get(BUCKET, "again").unwrap(), "again\n");
    assert_eq!(server.get(BUCKET, "of/new").unwrap(), "proxied\n");
    // Once more: what was mounted again is noted, too. One that was unmounted is not.
    assert_eq!(setting.unmount("/mnt/proxied").await.status(), 200);
    let script = "cat data/again; ls -A /mnt/proxied 2>/dev/null | wc -l";
    assert_eq!(woken(sandbox, script).await, "again\n0");
    // The files of the bucket are not part of the snapshot, and stay where they are.
    assert_eq!(sandbox.destroy().await, 204);
    assert_eq!(server.get(BUCKET, "copy").unwrap(), "mine\n");
}

#[tokio::test]
async fn a_bucket_that_is_gone_prevents_no_start() {
    let Some(setting) = Setting::new_in(saving().await).await else {
        return;
    };
    setting.mounted("/workspace/data", json!({})).await;
    setting.sh("echo mine > notes").await;
    let Setting { sandbox, server, .. } = setting;
    drop(server);
    assert_eq!(woken(&sandbox, "cat notes; ls -A data | wc -l").await, "mine\n0");
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_binding_is_there_after_the_restore() {
    let Some(setting) = binding::setting().await else {
        return;
    };
    let sandbox = &setting.sandbox;
    patch(sandbox, &json!({ "autoSave": { "on": "sleep" } })).await;
    binding::mounted(&setting, "/mnt/data", json!({ "prefix": "kept" })).await;
    setting.sh("echo bound > /mnt/data/a").await;
    assert_eq!(woken(sandbox, "cat /mnt/data/a; rm /mnt/data/a").await, "bound");
    assert_eq!(sandbox.destroy().await, 204);
}
