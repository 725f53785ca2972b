//! Programs of this machine that are clients of a bridge.

use std::process::Stdio;

use tokio::process::Command;

use crate::Bridge;

/// Runs a program to its end, and returns what it has printed. Panics if it fails.
pub async fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("a program");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}\n{errors}");
    text.into_owned()
}

/// [`run`] of a client, which finds the bridge in its environment.
pub async fn run_client(command: &mut Command, bridge: &Bridge) -> String {
    command
        .env("SANDBOX_URL", &bridge.url)
        .env("SANDBOX_API_KEY", &bridge.key)
        // It would send traces to its vendor.
        .env("OPENAI_AGENTS_DISABLE_TRACING", "1");
    run(command).await
}
