//! The machine of a run: numbers mean little without it.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use sandbar_tests::Runtime;
use sandbar_tests::bridge::project_root;
use serde_json::{Value, json};

/// The machine, the moment and the code.
pub struct Machine {
    cores: usize,
    processor: String,
    memory_gib: f64,
    kernel: String,
    date: String,
    runtime: &'static str,
    commit: String,
    /// The load average of the last minute, before anything was measured.
    load: f64,
}

impl Machine {
    /// Inspects this machine. A property that cannot be found out is empty or 0.
    pub fn inspect(runtime: Option<Runtime>) -> Self {
        let field = |file: &str, name: &str| {
            let text = read(file);
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default();
            line.trim_start_matches([' ', '\t', ':']).to_owned()
        };
        let memory_kib: f64 = field("/proc/meminfo", "MemTotal")
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or(0.0);
        let changed = !output_of("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = output_of("git", &["rev-parse", "--short", "HEAD"]);
        Self {
            cores: available_parallelism().map_or(0, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            memory_gib: (memory_kib / 1024.0 / 1024.0).round(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            date: output_of("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            runtime: runtime.map_or("unknown", Runtime::name),
            commit: if changed {
                format!("{commit}, changed")
            } else {
                commit
            },
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// Whether something else keeps it busy, so that the numbers are worth little.
    pub fn is_loaded(&self) -> bool {
        self.load > self.cores as f64 / 4.0
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "{}, runtime {}, commit {}: {} cores ({}), {} GiB, Linux {}, load {} before{}",
            self.date,
            self.runtime,
            self.commit,
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.load,
            if self.is_loaded() {
                ": BUSY, so these numbers are worth little"
            } else {
                ""
            },
        )
    }

    /// For `--json`.
    pub fn json(&self) -> Value {
        json!({
            "cores": self.cores, "processor": self.processor, "memory_gib": self.memory_gib, "kernel": self.kernel,
            "date": self.date, "runtime": self.runtime, "commit": self.commit, "load": self.load,
        })
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(project_root())
        .output();
    output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
