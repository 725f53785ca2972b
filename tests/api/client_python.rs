//! The Python client: its own tests on this bridge, its types, and its package.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sandbar_tests::bridge::project_root;
use sandbar_tests::program::{run, run_client};
use tokio::process::Command;

use crate::bridge;
use crate::doc_examples::blocks;

/// Runs a module of Python in the directory of the client. Returns its output.
async fn python(arguments: &[&str]) -> String {
    let directory = project_root().join("clients/python");
    let packages = project_root().join(".tools/python");
    let path = std::env::join_paths([packages, directory.join("src")]).unwrap();
    let mut python = Command::new("python3");
    python
        .args(["-B", "-m"])
        .args(arguments)
        .current_dir(directory)
        .env("PYTHONPATH", path);
    run_client(&mut python, bridge()).await
}

/// A directory for this test, which does not exist yet.
fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("sandbar-python-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[tokio::test]
async fn the_python_client_passes_its_tests_on_this_bridge() {
    let text = python(&["pytest", "-q", "-p", "no:cacheprovider", "tests"]).await;
    assert!(text.contains(" passed") && !text.contains("skipped"), "{text}");
}

#[tokio::test]
async fn the_types_of_the_python_client_hold_for_it_and_for_its_users() {
    let cache = scratch("mypy");
    let cache = cache.to_str().unwrap();
    python(&["mypy", "--strict", "--cache-dir", cache, "src", "tests"]).await;
    let program = "from sandbar import CommandError, ExecResult, get_async_sandbox, get_sandbox\n\
                   result: ExecResult = get_sandbox('', '', 'a').exec('true', timeout=1)\n\
                   async def main() -> str:\n    \
                       return (await get_async_sandbox('', '', 'a').read_file('a')).content\n\
                   get_sandbox('', '', 'a').exec(5)  # type: ignore[arg-type]\n";
    python(&[
        "mypy",
        "--strict",
        "--warn-unused-ignores",
        "--cache-dir",
        cache,
        "-c",
        program,
    ])
    .await;
    let _ = std::fs::remove_dir_all(cache);
}

#[tokio::test]
async fn the_python_package_is_built_and_accepted_by_the_registry_s_checks() {
    let directory = scratch("dist");
    let out = directory.to_str().unwrap();
    python(&["build", "--no-isolation", "--outdir", out, "."]).await;
    let built: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(built.len(), 2, "{built:?}");
    let check: Vec<&str> = ["twine", "check", "--strict"]
        .into_iter()
        .chain(built.iter().map(String::as_str))
        .collect();
    python(&check).await;
    let wheel = built.iter().find(|path| path.ends_with(".whl")).unwrap();
    let listed = python(&["zipfile", "-l", wheel]).await;
    for file in ["sandbar/py.typed", "LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(listed.contains(file), "{listed}");
    }
    assert!(!listed.contains("test"), "{listed}");
    let _ = std::fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn a_new_user_installs_the_python_package_and_runs_the_four_lines_of_its_readme() {
    let begin = Instant::now();
    let directory = scratch("new");
    let out = directory.to_str().unwrap();
    python(&["build", "--no-isolation", "--wheel", "--outdir", out, "."]).await;
    let wheel = std::fs::read_dir(&directory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let venv = directory.join("venv");
    run(Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&venv))
    .await;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--disable-pip-version-check", "--python"])
        .arg(venv.join("bin/python"))
        .args(["install", "--quiet", "--no-index", "--find-links"])
        .arg(project_root().join(".tools/wheels"))
        .arg(wheel);
    run(&mut pip).await;

    let example = blocks("clients/python/README.md").remove(0).text;
    assert_eq!(
        example.lines().filter(|line| !line.is_empty()).count(),
        4,
        "{example}"
    );
    let example = example.replace("user-123", &format!("new-{}", std::process::id()));
    let mut new = Command::new(venv.join("bin/python"));
    new.arg("-c")
        .arg(format!("{example}sandbox.destroy()"))
        .current_dir(&directory);
    assert_eq!(run_client(&mut new, bridge()).await.trim(), "hello from Linux");
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    let _ = std::fs::remove_dir_all(&directory);
}
