//! The recipes that install and run projects: the backend of a web IDE, and the CI runner.

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::bridge::free_port;
use sandbar_tests::git_server::GitServer;
use sandbar_tests::machine::address_for;
use sandbar_tests::process::ok;
use sandbar_tests::recipe;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::{bridge, client, client_typescript, eventually, sandbox};

/// A program that is a client of the bridge, with its output as lines.
fn start(
    mut program: Command,
) -> (
    tokio::process::Child,
    tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
) {
    let mut child = program
        .env("SANDBOX_URL", &bridge().url)
        .env("SANDBOX_API_KEY", &bridge().key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// A project for Node.js with a package that comes from a directory of its own.
const PACKAGE: &str = r#"{ "dependencies": { "greeting": "file:./packages/greeting" } }"#;
const GREETING: &str = r#"{ "name": "greeting", "version": "1.0.0", "main": "index.js" }"#;
const INSTALL: &str = "npm install --no-audit --no-fund --offline";

#[tokio::test]
async fn recipe_of_a_web_ide_installs_a_project_and_shows_its_preview() {
    client_typescript::build().await;
    let mut program = recipe::node("web-ide/server.ts");
    program.env("PORT", "0");
    let (_child, mut lines) = start(program);
    let backend = lines.next_line().await.unwrap().unwrap();
    let http = reqwest::Client::new();
    let server = r#"
        const { createServer } = require("node:http");
        const { readFileSync } = require("node:fs");
        createServer((request, response) => {
            console.log("asked for", request.url);
            response.end(require("greeting")(readFileSync("name.txt", "utf8")));
        }).listen(process.env.PORT);
    "#;
    let mut project = json!({
        "files": {
            "package.json": PACKAGE,
            "packages/greeting/package.json": GREETING,
            "packages/greeting/index.js": "module.exports = (name) => `hello, ${name}`;",
            "server.js": server,
            "name.txt": "first",
        },
        "install": INSTALL,
        "start": "exec node server.js",
        "port": free_port(),
    });
    let create = async |project: &Value| {
        let request = http.post(format!("{backend}/projects")).json(project);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, created) = create(&project).await;
    assert_eq!(status, 201, "{created}");
    let host = created["url"]
        .as_str()
        .unwrap()
        .split('/')
        .nth(2)
        .unwrap()
        .to_owned();
    // Not every resolver knows names below localhost.
    let visit = async || {
        let request = http.get(format!("{}/page", bridge().url)).header("Host", &host);
        request.send().await.unwrap().text().await.unwrap()
    };
    assert_eq!(visit().await, "hello, first");
    let url = format!("{backend}/projects/{}", created["id"].as_str().unwrap());
    let saved = http.put(format!("{url}/files/name.txt")).body("second").send();
    assert_eq!(saved.await.unwrap().status(), 204);
    assert_eq!(visit().await, "hello, second");
    let mut log = http.get(format!("{url}/log")).send().await.unwrap();
    let mut text = String::new();
    while text.matches("asked for /page").count() < 2 {
        text += std::str::from_utf8(&log.chunk().await.unwrap().unwrap()).unwrap();
    }
    let deleted = http.delete(&url).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert!(!client().sandbox(created["id"].as_str().unwrap()).running().await);

    // A failed install is 422 with its output.
    project["install"] = "echo no such package >&2; exit 1".into();
    let (status, refused) = create(&project).await;
    assert_eq!(status, 422, "{refused}");
    assert!(
        refused["error"].as_str().unwrap().contains("no such package"),
        "{refused}"
    );
    assert_eq!(
        http.get(format!("{backend}/none")).send().await.unwrap().status(),
        404
    );
}

/// Runs the CI runner. Returns its exit code, its output with the time of each line, and its reports.
async fn check(name: &str, arguments: &[&str]) -> (i32, Vec<(Instant, String)>, Value, String) {
    let reports = recipe::directory().join(name);
    let mut program = recipe::python("ci-runner/ci.py");
    program.args(arguments).arg("--reports").arg(&reports);
    let (mut child, mut lines) = start(program);
    let mut output = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        output.push((Instant::now(), line));
    }
    let code = child.wait().await.unwrap().code().unwrap();
    let read = |name: &str| std::fs::read_to_string(reports.join(name)).unwrap();
    (
        code,
        output,
        serde_json::from_str(&read("report.json")).unwrap(),
        read("report.xml"),
    )
}

#[tokio::test]
async fn recipe_of_a_ci_runner_reports_each_step_and_fails_as_the_step_does() {
    client_typescript::build().await;
    let sandbox = sandbox().await;
    let server = GitServer::start();
    let test = "const test = require('node:test');\nconst greet = require('greeting');\n\
                test('greets', () => require('node:assert').equal(greet('you'), 'hello, you'));\n";
    let commit = server.add_project(
        "project",
        &[
            ("package.json", PACKAGE),
            ("packages/greeting/package.json", GREETING),
            (
                "packages/greeting/index.js",
                "module.exports = (name) => `hello, ${name}`;",
            ),
            ("greeting.test.js", test),
        ],
    );
    let url = format!(
        "http://{}:{}/project.git",
        address_for(&sandbox).await,
        server.port
    );
    sandbox.destroy().await;
    let install = format!("install={INSTALL}");
    let steps = [&url, "--step", &install, "--step", "test=node --test"];
    let (code, output, report, xml) = check("ci-good", &steps).await;
    let text: Vec<&str> = output.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(code, 0, "{text:#?}");
    assert_eq!(
        (&report["commit"], &report["exit_code"]),
        (&json!(commit), &json!(0))
    );
    assert!(
        report["steps"][1]["output"].as_str().unwrap().contains("pass 1"),
        "{report}"
    );
    assert!(
        xml.contains(r#"tests="2" failures="0" errors="0" skipped="0""#),
        "{xml}"
    );

    let slow = "lint=echo begun; sleep 0.8; echo 'a < b' >&2; exit 3";
    let steps = [
        &url,
        "--ref",
        &commit,
        "--step",
        slow,
        "--step",
        "test=node --test",
    ];
    let (code, output, report, xml) = check("ci-bad", &steps).await;
    assert_eq!((code, &report["exit_code"]), (3, &json!(3)));
    let time = |text: &str| output.iter().find(|(_, line)| line == text).unwrap().0;
    // It is printed as it comes.
    assert!(time("a < b") - time("begun") > Duration::from_millis(400));
    assert_eq!(report["steps"][1]["exit_code"], Value::Null);
    for part in [
        r#"failures="1" errors="0" skipped="1""#,
        r#"message="exit code 3""#,
        "a &lt; b",
        "<skipped />",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }

    let missing = url.replace("project", "missing");
    let (code, _, report, xml) = check("ci-none", &[&missing, "--step", "test=true"]).await;
    assert_eq!(
        (code, &report["error"]["code"]),
        (125, &json!("git_repository_not_found"))
    );
    for part in ["<error message=", r#"errors="1""#] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    let list = client().request(Method::GET, "/v1/sandbox?limit=1000");
    eventually("the jobs leave no sandbox", || async {
        let list = ok(list.try_clone().unwrap().send().await.unwrap()).await;
        !list["sandboxes"].to_string().contains("\"ci-")
    })
    .await;
}
