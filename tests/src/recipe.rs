//! The programs of `docs/recipes`, in a directory where they find the clients.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio::process::Command;

use crate::bridge::project_root;

/// A copy of the recipes with the npm packages that they import. The TypeScript client must have been built.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = std::env::temp_dir().join(format!("sandbar-recipes-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let packages = directory.join("node_modules");
        std::fs::create_dir_all(&packages).expect("a directory");
        let recipes = project_root().join("docs/recipes");
        let copied = std::process::Command::new("cp")
            .args(["-R", "--"])
            .arg(recipes.join("."))
            .arg(&directory)
            .status();
        assert!(copied.expect("cp").success());
        let client = project_root().join("clients/typescript");
        let types = client.join("node_modules/@types");
        let protocol = project_root().join("tests/node_modules/@modelcontextprotocol");
        for (target, name) in [
            (client, "sandbar"),
            (types, "@types"),
            (protocol, "@modelcontextprotocol"),
        ] {
            symlink(target, packages.join(name)).expect("a link");
        }
        directory
    })
}

/// A program for Node.js: its path in [`directory`].
pub fn node(program: &str) -> Command {
    let mut node = Command::new(project_root().join("node_modules/.bin/node"));
    node.arg(program).current_dir(directory());
    node
}

/// A program for Python: its path in [`directory`].
pub fn python(program: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg("-B").arg(program).current_dir(directory());
    with_python_packages(&mut python);
    python
}

/// Lets Python find the client, from its sources, and what it needs.
pub fn with_python_packages(python: &mut Command) {
    let packages = project_root().join(".tools/python");
    let client = project_root().join("clients/python/src");
    let path = std::env::join_paths([packages, client]).expect("paths");
    python.env("PYTHONPATH", path);
}
