//! The first call of the README and of docs/quickstart.md, run as it is on the page.

use std::process::Stdio;

use sandbar_tests::bridge::project_root;
use tokio::process::Command;

use crate::bridge;
use crate::doc_examples::blocks;

/// The example of a page in a language.
fn example(page: &str, language: &str) -> String {
    let mut blocks = blocks(page).into_iter();
    let block = blocks.find(|block| block.language == language);
    block
        .unwrap_or_else(|| panic!("{page} has no {language} block"))
        .text
}

/// Runs an example. Its output has to contain the result of each call.
async fn run(page: &str, language: &str, command: &mut Command) {
    let output = command
        .arg(example(page, language))
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
    run("README.md", "sh", Command::new("sh").arg("-eu").arg("-c")).await;
}

#[tokio::test]
async fn with_node() {
    run(
        "docs/quickstart.md",
        "js",
        Command::new("node").args(["--input-type=module", "-e"]),
    )
    .await;
}

#[tokio::test]
async fn with_python() {
    let modules = project_root().join(".tools/python");
    run(
        "docs/quickstart.md",
        "python",
        Command::new("python3").env("PYTHONPATH", modules).arg("-c"),
    )
    .await;
}
