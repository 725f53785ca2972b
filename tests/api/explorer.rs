//! The explorer in a browser.

use sandbar_tests::browser;

use crate::bridge;

#[tokio::test]
#[ignore = "needs Chromium: scripts/test runs it where scripts/browser finds one"]
async fn a_person_calls_operations_from_the_page() {
    let steps = browser::run("explorer/explorer.mjs", &bridge().url, &bridge().key).await;
    for step in [
        "ran a command",
        "wrote a file",
        "left a command",
        "saw a picture",
        "destroyed it",
        "authorized by hand",
    ] {
        assert!(steps.contains(step), "{step:?} is not in {steps}");
    }
}
