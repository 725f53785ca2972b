//! What is shipped: the Worker and the `sandboxd` binary.

use std::path::Path;
use std::process::Command;

use sandbar_tests::bridge::project_root;

use crate::report::{Limit, Report};

/// Measures what is built; `npm run bench` builds it first.
pub fn measure(report: &mut Report) {
    let build = project_root().join("build");
    let worker: u64 = ["index.js", "index_bg.wasm"]
        .iter()
        .map(|name| gzipped(&build.join(name)))
        .sum();
    report.add(
        "Worker, JS and Wasm, gzip",
        1,
        worker as f64 / 1e3,
        "KB",
        Limit::AtMost(250.0),
    );
    let sandboxd = std::fs::metadata(sandboxd_path()).map_or(0, |file| file.len());
    report.add(
        "sandboxd, stripped",
        1,
        sandboxd as f64 / 1e6,
        "MB",
        Limit::AtMost(8.0),
    );
}

/// The `sandboxd` that `npm start` runs.
pub fn sandboxd_path() -> std::path::PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project_root().join("target"), Into::into);
    target.join("sandboxd/sandboxd")
}

fn gzipped(file: &Path) -> u64 {
    let output = Command::new("gzip").arg("-c").arg(file).output().expect("gzip");
    output.stdout.len() as u64
}
