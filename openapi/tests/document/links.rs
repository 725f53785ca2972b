//! The Markdown pages name files and headings that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the project.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The Markdown pages of the root, of `docs/` and of its recipes.
fn pages() -> Vec<PathBuf> {
    let files = |directory: &str| {
        let entries = fs::read_dir(Path::new(ROOT).join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    files("")
        .chain(files("docs"))
        .chain(files("docs/recipes"))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// The lines of a page without its fenced blocks.
fn lines(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// The targets of a page's links, without those to other hosts.
fn targets(page: &Path) -> Vec<String> {
    let text = lines(page).join("\n");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.contains("://"))
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for page in pages() {
        for target in targets(&page) {
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => page.clone(),
                _ => page.parent().unwrap().join(file),
            };
            assert!(file.exists(), "{}: {target}: no such file", page.display());
            let lines = if heading.is_empty() {
                Vec::new()
            } else {
                lines(&file)
            };
            let mut headings = lines.iter().filter(|line| line.starts_with('#'));
            assert!(
                heading.is_empty() || headings.any(|line| anchor(line) == heading),
                "{}: {target}: no such heading",
                page.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links");
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    // The list of the recipes is linked from the README, too.
    let linked: Vec<PathBuf> = ["", "docs/recipes"]
        .map(|directory| Path::new(ROOT).join(directory))
        .iter()
        .flat_map(|directory| {
            let targets = targets(&directory.join("README.md")).into_iter();
            targets.map(|target| directory.join(target.split('#').next().unwrap_or_default()))
        })
        .collect();
    for page in pages() {
        let page = Path::new(ROOT).join(page.strip_prefix(ROOT).unwrap());
        assert!(
            page.ends_with("README.md") || linked.contains(&page),
            "{} is not linked",
            page.display()
        );
    }
}

/// The code spans of a page.
fn code_spans(page: &Path) -> Vec<String> {
    let text = lines(page).join("\n");
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_files_that_the_architecture_names_exist() {
    // Where its paths begin.
    let roots = ["", "container/src", "tests"].map(|root| Path::new(ROOT).join(root));
    let mut checked = 0;
    for page in ["CONTRIBUTING.md", "docs/architecture.md"] {
        let spans = code_spans(&Path::new(ROOT).join(page));
        let is_path = |span: &&String| {
            let end = [".rs", ".js", ".toml", "/"].iter().any(|end| span.ends_with(end));
            end && !span.starts_with('/') && !span.contains(['*', ' ', '{'])
        };
        for path in spans.iter().filter(is_path) {
            let exists = roots.iter().any(|root| root.join(path).exists());
            assert!(exists, "{page} names {path}, which does not exist");
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} paths");
}
