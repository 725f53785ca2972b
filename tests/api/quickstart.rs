//! The README's quickstart, run as it stands there.

use std::process::Stdio;

use sandbar_tests::bridge::project_root;
use tokio::process::Command;

use crate::bridge;

/// The first fenced block of a language in the README.
fn block(language: &str) -> String {
    let readme = std::fs::read_to_string(project_root().join("README.md")).unwrap();
    let fence = format!("\n```{language}\n");
    let start = readme
        .find(&fence)
        .unwrap_or_else(|| panic!("no {language} block"))
        + fence.len();
    let end = readme[start..].find("\n```").expect("a closed block");
    readme[start..start + end].to_owned()
}

/// Runs the block of a language; its output has to show what each line of the quickstart promises.
async fn run(language: &str, command: &mut Command) {
    let output = command
        .arg(block(language))
        .current_dir(std::env::temp_dir())
        .env("SANDBOX_URL", &bridge().url)
        .env("SANDBOX_API_KEY", &bridge().key)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{language}: {text}\n{errors}");
    for promised in [
        "hello from Linux",
        "hello, file",
        "\"running\": true",
        "destroyed: 204",
    ] {
        let text = text.replace("\"running\":true", "\"running\": true");
        assert!(
            text.contains(promised),
            "{language}: {promised:?} is not in\n{text}\n{errors}"
        );
    }
}

#[tokio::test]
async fn with_curl() {
    run("sh", Command::new("sh").arg("-eu").arg("-c")).await;
}

#[tokio::test]
async fn with_node() {
    run("js", Command::new("node").args(["--input-type=module", "-e"])).await;
}

#[tokio::test]
async fn with_python() {
    let modules = project_root().join(".tools/python");
    run(
        "python",
        Command::new("python3").env("PYTHONPATH", modules).arg("-c"),
    )
    .await;
}
