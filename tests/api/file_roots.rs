//! Directories that the deployment adds to the workspace.

use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

#[tokio::test]
async fn added_roots_are_reached_and_nothing_else() {
    let client = Client::new(&Bridge::start(&[("SANDBOX_FILE_ROOTS", "/tmp")]));
    let sandbox = client.create().await;
    assert_eq!(sandbox.put("tmp/d/f", "in tmp").await.status(), 200);
    assert_eq!(sandbox.sh("cat /tmp/d/f").await.text(), "in tmp");
    assert_eq!(sandbox.paths("tmp/d", "").await, ["/tmp/d/f"]);
    // An absolute link may lead from one to the other.
    sandbox
        .sh("ln -s /tmp/d link; ln -s ../tmp/d relative; ln -s /etc etc")
        .await;
    assert_eq!(
        sandbox.get("workspace/link/f").await.text().await.unwrap(),
        "in tmp"
    );
    for path in ["workspace/relative/f", "workspace/etc/passwd"] {
        assert_error(sandbox.get(path).await, 403, "invalid_request").await;
    }
    let text = assert_error(sandbox.get("etc/passwd").await, 403, "invalid_request").await;
    assert!(text.contains("/workspace or /tmp"), "{text}");
    // To another mount and back, with everything in it.
    sandbox
        .sh("mkdir -p t/sub; echo 1 > t/sub/f; ln -s f t/sub/l; chmod 500 t/sub; touch -d 2020-01-01 t/sub/f")
        .await;
    for (from, to) in [("t", "/tmp/t"), ("/tmp/t", "/workspace/back")] {
        assert_eq!(ok(sandbox.rename(from, to).await).await, json!({ "ok": true }));
    }
    let seen = sandbox.sh("cat back/sub/f; readlink back/sub/l; stat -c %a back/sub; date -ur back/sub/f +%F; ls -d t /tmp/t 2>&1 | wc -l");
    assert_eq!(seen.await.text(), "1\nf\n500\n2020-01-01\n2\n");
    assert_eq!(
        ok(sandbox.copy("/tmp/d", "copied").await).await,
        json!({ "ok": true })
    );
    assert_eq!(sandbox.sh("cat copied/f").await.text(), "in tmp");
    let root = sandbox.remove("tmp?recursive=true").await;
    assert_error(root, 400, "invalid_request").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_bad_root_is_not_configured() {
    let client = Client::new(&Bridge::start(&[("SANDBOX_FILE_ROOTS", "/proc")]));
    let health = client
        .http
        .get(format!("{}/health", client.bridge.url))
        .send()
        .await
        .unwrap();
    let text = assert_error(health, 503, "not_configured").await;
    assert!(text.contains("SANDBOX_FILE_ROOTS"), "{text}");
}
