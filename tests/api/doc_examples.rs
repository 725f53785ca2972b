//! The examples of the documentation, run as they are on their page: all of a page in one shell.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use sandbar_tests::bridge::project_root;
use sandbar_tests::command_line;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::bridge;

/// Pages whose shell examples run here.
const PAGES: [&str; 14] = [
    "docs/api.md",
    "docs/archives.md",
    "docs/cli.md",
    "docs/code.md",
    "docs/commands.md",
    "docs/files.md",
    "docs/git.md",
    "docs/mcp.md",
    "docs/ports.md",
    "docs/processes.md",
    "docs/sandboxes.md",
    "docs/sessions.md",
    "docs/snapshots.md",
    "docs/tokens.md",
];

/// Examples that `quickstart`, `clients` and `port_ssh` run, by page and language: one of each.
const PROGRAMS: [(&str, &str); 7] = [
    ("README.md", "sh"),
    ("docs/clients.md", "js"),
    ("docs/clients.md", "python"),
    ("docs/clients.md", "ts"),
    ("docs/quickstart.md", "js"),
    ("docs/quickstart.md", "python"),
    ("docs/recipes/ssh.md", "sh"),
];

/// Languages of fenced blocks that are examples to run. Others show a format or a part of a file.
const LANGUAGES: [&str; 6] = ["bash", "js", "python", "sh", "shell", "ts"];

/// Separates the output of two examples.
const SEPARATOR: &str = "==== the next example ====";

/// Destroys the sandbox of a page whose examples do not.
const CLEAN_UP: &str = r#"[ -z "${box-}" ] || curl -sS -o /dev/null -X DELETE "$box" -H "$auth""#;

/// A fenced block of a page.
pub struct Block {
    pub language: String,
    pub text: String,
}

/// The fenced blocks of a page, in its order.
pub fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(project_root().join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().take_while(|line| *line != "```");
        blocks.push(Block {
            language: language.to_owned(),
            text: inside.map(|line| format!("{line}\n")).collect(),
        });
    }
    blocks
}

/// The Markdown pages of the project.
fn pages() -> BTreeSet<String> {
    let files = |directory: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(project_root().join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let files = [files("."), files("docs"), files("docs/recipes")]
        .concat()
        .into_iter();
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            path.strip_prefix(project_root())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .map(|path| path.trim_start_matches("./").to_owned())
        .collect()
}

/// Whether a block is a part of a program in the directory that is named as the page: the tests `recipe` run
/// these programs.
fn is_of_a_program(page: &str, block: &Block) -> bool {
    let directory = project_root().join(page.trim_end_matches(".md"));
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .any(|text| text.contains(&block.text))
}

#[test]
fn every_example_of_every_page_is_run() {
    let mut found = Vec::new();
    for page in pages() {
        for block in blocks(&page) {
            if LANGUAGES.contains(&block.language.as_str()) && !is_of_a_program(&page, &block) {
                found.push((page.clone(), block.language));
            }
        }
    }
    for (page, language) in &found {
        let is_run = language == "sh" && PAGES.contains(&page.as_str());
        let is_program = PROGRAMS.contains(&(page, language));
        assert!(
            is_run || is_program,
            "no test runs the {language} examples of {page}"
        );
    }
    for page in PAGES {
        assert!(
            found.iter().any(|(with, _)| with == page),
            "{page} has no example"
        );
    }
    for (page, language) in PROGRAMS {
        let same = found.iter().filter(|(p, l)| p == page && l == language);
        assert_eq!(same.count(), 1, "{language} examples of {page}");
    }
}

#[tokio::test]
async fn every_example_prints_what_stands_below_it() {
    let mut runs: JoinSet<()> = PAGES.into_iter().map(run).collect();
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

/// Runs the examples of a page and compares their output with the blocks of `text` below them.
async fn run(page: &str) {
    let mut examples: Vec<(String, String)> = Vec::new();
    for block in blocks(page) {
        match (block.language.as_str(), examples.last_mut()) {
            ("sh", _) => examples.push((block.text, String::new())),
            ("text", Some((_, output))) => output.push_str(&block.text),
            _ => {}
        }
    }
    let scripts: Vec<&str> = examples.iter().map(|(script, _)| script.as_str()).collect();
    let script = scripts.join(&format!("\necho '{SEPARATOR}'\n"));
    let name = page.replace('/', "-");
    let work = std::env::temp_dir().join(format!("sandbar-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&work).unwrap();
    let output = Command::new("bash")
        .args(["-eu", "-o", "pipefail", "-c", &format!("{script}\n{CLEAN_UP}")])
        .current_dir(&work)
        .env("PATH", command_line::search_path())
        .env("SANDBOX_URL", &bridge().url)
        .env("SANDBOX_API_KEY", &bridge().key)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let _ = std::fs::remove_dir_all(&work);
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page}: {text}\n{errors}");
    let printed: Vec<&str> = text.split(SEPARATOR).collect();
    assert_eq!(printed.len(), examples.len(), "{page}: {text}");
    for ((script, promised), printed) in examples.iter().zip(printed) {
        assert!(
            is_like(printed.trim(), promised.trim()),
            "{page}: the example\n{script}promises\n{promised}and prints\n{printed}",
        );
    }
}

/// Whether a text is as promised, where `…` stands for anything, nothing included. Names of headers
/// have any case.
fn is_like(text: &str, promised: &str) -> bool {
    let (text, promised) = (text.to_lowercase(), promised.to_lowercase());
    let Some((first, others)) = promised.split_once('…') else {
        return text == promised;
    };
    let (between, last) = others.rsplit_once('…').unwrap_or(("", others));
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    between.split('…').all(|part| {
        let found = rest.split_once(part);
        rest = found.map_or(rest, |(_, after)| after);
        found.is_some()
    })
}

#[test]
fn the_comparison_tells_texts_apart() {
    for (text, promised) in [
        ("a", "a"),
        ("a b c", "a…c"),
        ("a", "…"),
        ("", "…"),
        ("a b", "a …"),
        ("ac", "a…c"),
        ("a c b c", "a…c"),
        ("abcd", "a…b…d"),
    ] {
        assert!(is_like(text, promised), "{text} {promised}");
    }
    for (text, promised) in [
        ("a", "b"),
        ("a", ""),
        ("ab", "a"),
        ("a b c d", "a…c"),
        ("b", "a…"),
        ("", "a"),
        ("adbc", "a…b…d"),
    ] {
        assert!(!is_like(text, promised), "{text} {promised}");
    }
}
