//! The recipes of docs/recipes: their types, the agent loop, and the analysis of data.

use sandbar_tests::bridge::project_root;
use sandbar_tests::model::Model;
use sandbar_tests::program::{run, run_client};
use sandbar_tests::recipe;
use serde_json::Value;
use tokio::process::Command;

use crate::{bridge, client_typescript};

/// The paths of the recipes' files with this ending.
fn programs(ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for recipe in std::fs::read_dir(project_root().join("docs/recipes")).unwrap() {
        let Ok(files) = std::fs::read_dir(recipe.unwrap().path()) else {
            continue;
        };
        found.extend(files.map(|file| file.unwrap().path().to_str().unwrap().to_owned()));
    }
    found.retain(|path| path.ends_with(ending));
    assert!(!found.is_empty());
    found
}

#[tokio::test]
async fn recipes_in_typescript_are_typed_and_formatted() {
    client_typescript::build().await;
    let programs_of_client = project_root().join("clients/typescript/node_modules/.bin");
    let mut prettier = Command::new(programs_of_client.join("prettier"));
    prettier
        .args(["--check", "--print-width", "110"])
        .args(programs(".ts"));
    run(&mut prettier).await;
    run(Command::new(programs_of_client.join("tsc")).current_dir(recipe::directory())).await;
}

#[tokio::test]
async fn recipes_in_python_are_typed() {
    client_typescript::build().await;
    let cache = recipe::directory().join(".mypy");
    let mut mypy = Command::new("python3");
    recipe::with_python_packages(&mut mypy);
    mypy.args(["-m", "mypy", "--strict", "--cache-dir"]).arg(&cache);
    // The analysis runs in a kernel, with the packages of the kernel.
    mypy.args(
        programs(".py")
            .into_iter()
            .filter(|path| !path.ends_with("analysis.py")),
    );
    run(&mut mypy).await;
}

/// Runs an agent loop whose model first writes a program that fails, then one that does not.
async fn solve(mut program: Command) {
    let model = Model::start(&[
        "I add them:\n```python\nprint(sum(range(1, last + 1)))\n```\n",
        "```python\nlast = 10\nprint(sum(range(1, last + 1)))\n```",
    ])
    .await;
    program
        .arg("What is the sum of the numbers from 1 to 10?")
        .env("MODEL_URL", &model.url);
    assert_eq!(run_client(&mut program, bridge()).await, "55\n");
    let requests = model.requests();
    assert_eq!(requests.len(), 2);
    let messages = requests[1]["messages"].as_array().unwrap();
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    let report = messages[3]["content"].as_str().unwrap();
    for part in ["NameError: name 'last' is not defined", "[exit code 1]"] {
        assert!(report.contains(part), "{report}");
    }
}

#[tokio::test]
async fn recipe_of_an_agent_loop_repairs_a_program_by_its_errors_in_typescript() {
    client_typescript::build().await;
    solve(recipe::node("agent-loop/agent.ts")).await;
}

#[tokio::test]
async fn recipe_of_an_agent_loop_repairs_a_program_by_its_errors_in_python() {
    client_typescript::build().await;
    solve(recipe::python("agent-loop/agent.py")).await;
}

#[tokio::test]
async fn recipe_of_data_analysis_saves_tables_figures_and_the_data_of_charts() {
    client_typescript::build().await;
    let directory = recipe::directory().join("data-analysis");
    let mut program = recipe::python("charts.py");
    program
        .args(["sales.csv", "analysis.py", "out"])
        .current_dir(&directory);
    let text = run_client(&mut program, bridge()).await;
    assert!(text.contains("6 rows"), "{text}");
    let read = |name: &str| std::fs::read(directory.join("out").join(name)).unwrap();
    let table = String::from_utf8(read("cell-1-1.html")).unwrap();
    assert!(
        table.contains("<td>405</td>") && table.contains("South"),
        "{table}"
    );
    for (name, kind, title) in [
        ("cell-2-1", "bar", "Revenue by region"),
        ("cell-3-1", "line", "Revenue over time"),
    ] {
        assert!(read(&format!("{name}.png")).starts_with(b"\x89PNG\r\n"), "{name}");
        let chart: Value = serde_json::from_slice(&read(&format!("{name}.json"))).unwrap();
        assert_eq!(
            (&chart["type"], &chart["title"]),
            (&kind.into(), &title.into()),
            "{chart}"
        );
    }
}
