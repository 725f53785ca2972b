//! The clients of docs/clients.md, run as they are written there.

use sandbar_tests::Client;
use sandbar_tests::bridge::project_root;
use sandbar_tests::program::run_client;
use sandbox_protocol::SandboxId;
use tokio::process::Command;

use crate::{bridge, tunnel};

/// The first fenced block of a language in docs/clients.md.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(project_root().join("docs/clients.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// Runs a client. All of them make the same calls and print the results. Returns its output.
async fn run(command: &mut Command) -> String {
    let text = run_client(command, bridge()).await.to_lowercase();
    for promised in [
        "hello from linux",
        "3",
        "hello, file ü",
        "running: true",
        "destroyed",
    ] {
        assert!(text.contains(promised), "{promised:?} is not in\n{text}");
    }
    text
}

/// Runs a JavaScript module.
async fn run_module(text: &str) -> String {
    let mut node = Command::new(project_root().join("node_modules/.bin/node"));
    node.args(["--input-type=module", "-e", text]);
    run(node.current_dir(project_root().join("tests"))).await
}

#[tokio::test]
async fn openai_agents_in_python() {
    let mut python = Command::new("python3");
    python.args(["-c", &block("python")]);
    run(python.env("PYTHONPATH", project_root().join(".tools/python"))).await;
}

#[tokio::test]
async fn openai_agents_in_javascript() {
    run_module(&block("js")).await;
}

#[tokio::test]
async fn computesdk_in_remote_mode() {
    // It has no types, so it is JavaScript, too.
    let text = run_module(&block("ts")).await;
    assert!(text.contains("'hello.txt'"), "{text}");
    // The package hides an error of its DELETE.
    let (_, id) = text.trim().rsplit_once(' ').unwrap();
    let id = SandboxId::parse(id).unwrap();
    let sandbox = Client::new(bridge()).sandbox(id.as_str());
    assert!(!sandbox.running().await, "{id}");
}

#[tokio::test]
async fn computesdk_in_remote_mode_has_every_method() {
    // Whose tunnels do not lead to Cloudflare.
    let bridge = &tunnel::world().client.bridge;
    let mut node = Command::new(project_root().join("node_modules/.bin/node"));
    node.arg("clients/computesdk.mjs")
        .current_dir(project_root().join("tests"))
        .env("CLOUDFLARED", "stand-ins/cloudflared");
    let text = run_client(&mut node, bridge).await;
    let (promised, id) = text.trim().rsplit_once(' ').unwrap();
    assert_eq!(promised, "every method works");
    assert!(!Client::new(bridge).sandbox(id).running().await, "{id}");
}
