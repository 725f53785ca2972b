//! The explorer in a browser.

use std::process::Stdio;

use sandbar_tests::bridge::project_root;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::bridge;

#[tokio::test]
#[ignore = "needs Chromium: scripts/test runs it where scripts/browser finds one"]
async fn a_person_calls_operations_from_the_page() {
    let node = project_root().join("node_modules/.bin/node");
    let mut child = Command::new(node)
        .args(["explorer/explorer.mjs", &bridge().url])
        .current_dir(project_root().join("tests"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(bridge().key.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let steps = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{steps}\n{errors}");
    for step in [
        "ran a command",
        "wrote a file",
        "left a command",
        "destroyed it",
        "authorized by hand",
    ] {
        assert!(steps.contains(step), "{step:?} is not in {steps}");
    }
}
