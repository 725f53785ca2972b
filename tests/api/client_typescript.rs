//! The TypeScript client on real bridges, in every runtime that it promises: the files of
//! `clients/typescript/test`.

use std::path::PathBuf;

use sandbar_tests::Bridge;
use sandbar_tests::bridge::{free_port, project_root};
use sandbar_tests::program::{run, run_client};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::bridge;

fn client() -> PathBuf {
    project_root().join("clients/typescript")
}

/// Builds the client, once.
pub async fn build() {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let build = || async {
        run(&mut Command::new(project_root().join("scripts/build-client"))).await;
    };
    BUILT.get_or_init(build).await;
}

/// Runs a file of the client's tests by a runtime, on a bridge. `promised` must be in its output.
async fn run_by(runtime: PathBuf, file: &str, bridge: &Bridge, env: &[(&str, String)], promised: &[&str]) {
    build().await;
    let mut command = Command::new(runtime);
    command
        .arg(client().join("test").join(file))
        .current_dir(client())
        .envs(env.iter().map(|(name, value)| (name, value)));
    let text = run_client(&mut command, bridge).await;
    for promised in promised {
        assert!(text.contains(promised), "{promised:?} is not in\n{text}");
    }
}

async fn node(file: &str, promised: &[&str]) {
    run_by(node_program(), file, bridge(), &[], promised).await;
}

fn node_program() -> PathBuf {
    project_root().join("node_modules/.bin/node")
}

/// Cases of the suite of every runtime, one of each kind.
const SUITE: [&str; 4] = [
    "passed: exec",
    "passed: standard input of many writes",
    "passed: a watch",
    "passed: code",
];

#[tokio::test]
async fn typescript_client_in_node() {
    node("run.mjs", &SUITE).await;
}

#[tokio::test]
async fn typescript_client_in_bun() {
    build().await;
    let packages = std::fs::read_dir(client().join("node_modules/@oven")).unwrap();
    // The one of this machine.
    let package = packages.flatten().next().unwrap().path();
    run_by(package.join("bin/bun"), "run.mjs", bridge(), &[], &SUITE).await;
}

#[tokio::test]
async fn typescript_client_in_workerd() {
    node("workerd.mjs", &SUITE).await;
}

#[tokio::test]
#[ignore = "needs Chromium: scripts/test runs it where scripts/browser finds one"]
async fn typescript_client_in_a_browser() {
    let port = free_port().to_string();
    let bridge = Bridge::start(&[("ALLOWED_ORIGINS", &format!("http://127.0.0.1:{port}"))]);
    run_by(
        node_program(),
        "browser.mjs",
        &bridge,
        &[("PAGE_PORT", port)],
        &SUITE,
    )
    .await;
}

#[tokio::test]
async fn typescript_client_loses_nothing_and_runs_nothing_twice_when_connections_break() {
    // A bridge of its own: what breaks here would be noise in the logs of other tests.
    run_by(
        node_program(),
        "cuts.mjs",
        &Bridge::start(&[]),
        &[],
        &["completed:"],
    )
    .await;
}

#[tokio::test]
async fn typescript_client_repeats_what_was_not_started_and_nothing_else() {
    let promised = ["repeated what had not started", "repeated nothing else"];
    let bridge = Bridge::start_limited("1", &[]);
    // Here nothing limits containers.
    if !bridge.is_local {
        return;
    }
    run_by(node_program(), "capacity.mjs", &bridge, &[], &promised).await;
}

#[tokio::test]
async fn typescript_client_has_classes_of_errors_without_the_key() {
    node("errors.mjs", &["a command of a destroyed sandbox"]).await;
}

#[tokio::test]
async fn typescript_client_understands_answers_that_are_seldom() {
    node("answers.mjs", &["seldom answers are understood"]).await;
}

#[tokio::test]
async fn typescript_client_is_the_shell_and_editor_of_an_openai_agent() {
    node("openai.mjs", &["shell and editor work"]).await;
}

#[tokio::test]
async fn typescript_client_is_a_provider_of_computesdk() {
    let promised = ["streamed output", "opened an address", "listed and destroyed"];
    node("computesdk.mjs", &promised).await;
}

#[tokio::test]
async fn typescript_client_examples_of_its_readme_run() {
    node("readme.mjs", &["examples printed what the page says"]).await;
}

#[tokio::test]
async fn typescript_client_passes_the_tests_of_the_sandbox_sdk() {
    // A copy of the SDK, which is no part of this repository.
    if std::env::var_os("SANDBOX_SDK").is_none() {
        return;
    }
    let bridge = Bridge::start(&[("SANDBOX_FILE_ROOTS", "/workspace:/tmp:/home:/var/tmp")]);
    run_by(node_program(), "sdk.mjs", &bridge, &[], &["passed:"]).await;
}

#[tokio::test]
async fn typescript_client_is_ready_to_be_published() {
    let promised = [
        "npm publish --dry-run succeeds",
        "the first example runs",
        "bytes of JavaScript",
    ];
    node("pack.mjs", &promised).await;
}
