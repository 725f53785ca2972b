//! Requests that schemathesis generates from the OpenAPI document: valid ones get documented
//! answers, invalid ones are refused, and no undocumented server error comes.

use std::process::Stdio;

use sandbar_tests::bridge::project_root;
use tokio::process::Command;

use crate::{bridge, sandbox};

/// How long it runs, in seconds.
const MAX_SECONDS: &str = "60";

#[tokio::test]
async fn every_answer_is_one_that_the_document_describes() {
    // It generates ids of sandboxes; a container for each of them would be too much.
    if !bridge().is_local {
        return;
    }
    let sandbox = sandbox().await;
    let directory = project_root().join("tests/properties");
    let packages = project_root().join(".tools/python");
    let work = std::env::temp_dir().join(format!("sandbar-properties-{}", sandbox.id));
    std::fs::create_dir(&work).unwrap();
    let output = Command::new("python3")
        .args(["-B", "-m", "schemathesis.cli", "--config-file"])
        .arg(directory.join("schemathesis.toml"))
        .args(["run", "--max-time", MAX_SECONDS])
        .arg(format!("{}/v1/openapi.json", bridge().url))
        .env(
            "PYTHONPATH",
            format!("{}:{}", packages.display(), directory.display()),
        )
        .env("SANDBOX_API_KEY", &bridge().key)
        .env("SANDBOX_ID", &sandbox.id)
        // The directory for its reports and its database.
        .current_dir(&work)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let _ = std::fs::remove_dir_all(&work);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{text}\n{errors}");
    let tested = text
        .lines()
        .find(|line| line.contains("Selected:"))
        .unwrap_or_default();
    // It does not test the address of the document itself.
    let documented = sandbar_openapi::operations();
    let operations = documented
        .iter()
        .map(|operation| operation.methods().len())
        .sum::<usize>()
        - 1;
    assert!(tested.contains(&format!("{operations}/{operations}")), "{text}");
    sandbox.destroy().await;
}
