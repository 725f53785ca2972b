//! The languages that docs/code.md adds to the image, on containers: each line of its Dockerfile is
//! built, and a cell run. `TEST_LANGUAGES` names them, by default `bash` alone: R takes two minutes, and
//! Rust, whose kernel is compiled, takes many.

use sandbar_tests::docker::image_of_the_project;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::container::on_containers;

/// A language, the heading of its line, a cell, and the cell's output.
const LANGUAGES: [(&str, &str, &str, &str); 3] = [
    ("bash", "# Bash", "x=41; echo $((x + 1))", "42\n"),
    ("r", "# R", "x <- c(40, 2); sum(x)", "[1] 42\n"),
    ("rust", "# Rust", "let x = 41; x + 1", "42\n"),
];

/// The line of docs/code.md below a heading.
fn line(heading: &str) -> &'static str {
    let page = include_str!("../../docs/code.md");
    let mut lines = page.lines().skip_while(|line| *line != heading);
    lines.nth(1).expect("a line of a Dockerfile")
}

#[tokio::test]
async fn a_line_of_the_dockerfile_adds_a_language() {
    if !on_containers() {
        return;
    }
    let wanted = std::env::var("TEST_LANGUAGES").unwrap_or_else(|_| "bash".to_owned());
    for name in wanted.split(',') {
        let found = LANGUAGES.iter().find(|language| language.0 == name);
        let (language, heading, cell, output) = found.unwrap_or_else(|| panic!("no language {name}"));
        let image = format!("FROM {}\n{}\n", image_of_the_project(), line(heading));
        let bridge = Bridge::start_image(&image, &[]);
        let sandbox = Client::new(&bridge).create().await;
        let ran = sandbox
            .run_code(&json!({ "code": cell, "language": language, "timeout_ms": 120_000 }))
            .await;
        assert_eq!(ran["output"], *output, "{ran}");
        assert_eq!(sandbox.destroy().await, 204);
    }
}
