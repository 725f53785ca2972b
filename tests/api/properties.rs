//! Whatever schemathesis makes of the OpenAPI document: what it describes is answered as it says, what it rules out is
//! refused, and no server error comes that it does not name.

use std::process::Stdio;

use sandbar_tests::bridge::project_root;
use tokio::process::Command;

use crate::{bridge, sandbox};

/// For how many seconds it looks.
const PATIENCE: &str = "60";

#[tokio::test]
async fn every_answer_is_one_that_the_document_describes() {
    // It makes up ids of sandboxes; a container for each of them would be too much.
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
        .args(["run", "--max-time", PATIENCE])
        .arg(format!("{}/v1/openapi.json", bridge().url))
        .env(
            "PYTHONPATH",
            format!("{}:{}", packages.display(), directory.display()),
        )
        .env("SANDBOX_API_KEY", &bridge().key)
        .env("SANDBOX_ID", &sandbox.id)
        // Where it leaves its reports and what it has learned.
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
    // It leaves out the address that it has the document from.
    let operations = sandbar_openapi::operations().len() - 1;
    assert!(tested.contains(&format!("{operations}/{operations}")), "{text}");
    sandbox.destroy().await;
}
