//! The size of the build: the Worker and the `sandboxd` binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use sandbar_tests::bridge::project_root;

use crate::bench::Bench;
use crate::lines;
use crate::series::{Miss, Sample, Series};

/// Measures what is built; `npm run bench` builds it first.
pub fn measure(bench: &mut Bench) {
    if !bench.wants(&[&lines::WORKER_SIZE, &lines::SANDBOXD_SIZE]) {
        return;
    }
    let build = project_root().join("build");
    let worker = ["index.js", "index_bg.wasm"]
        .iter()
        .map(|name| gzipped(&build.join(name)))
        .sum::<Result<usize, Miss>>()
        .map(|bytes| bytes as f64 / 1e3);
    bench.add(&lines::WORKER_SIZE, vec![one(worker)]);
    let sandboxd = std::fs::metadata(sandboxd_path()).map_err(Miss::failed);
    bench.add(
        &lines::SANDBOXD_SIZE,
        vec![one(sandboxd.map(|file| file.len() as f64 / 1e6))],
    );
}

/// The `sandboxd` that `npm start` runs.
pub fn sandboxd_path() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project_root().join("target"), Into::into);
    target.join("sandboxd/sandboxd")
}

fn gzipped(file: &Path) -> Result<usize, Miss> {
    let output = Command::new("gzip")
        .arg("-c")
        .arg(file)
        .output()
        .map_err(Miss::failed)?;
    if output.status.success() {
        Ok(output.stdout.len())
    } else {
        Err(Miss::Failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

fn one(sample: Sample) -> Series {
    let mut series = Series::default();
    series.add(sample);
    series
}
