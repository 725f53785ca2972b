//! Scripts that use a browser.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::bridge::project_root;

/// Runs a script of `tests/` with Node.js and this standard input, and returns what it has printed.
/// Panics if it fails.
pub async fn run(script: &str, argument: &str, input: &str) -> String {
    let node = project_root().join("node_modules/.bin/node");
    let mut child = Command::new(node)
        .args([script, argument])
        .current_dir(project_root().join("tests"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Node.js");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.expect("its input");
    drop(stdin);
    let output = child.wait_with_output().await.expect("its end");
    let steps = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{steps}\n{errors}");
    steps.into_owned()
}
