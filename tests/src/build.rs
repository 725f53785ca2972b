//! The programs under test, built when their sources changed.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Once, OnceLock};

use crate::bridge::project_root;

/// A command that runs in the project's root and may call cargo: without RUSTC_BOOTSTRAP, which
/// scripts/test sets for test programs, and with which cargo would compile everything again.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(project_root()).env_remove("RUSTC_BOOTSTRAP");
    command
}

/// Builds the Worker in `build/`.
pub fn worker() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| run(command("scripts/build-worker")));
}

/// The path of `sandboxd`, built as scripts/build-local builds it.
pub fn sandboxd() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let mut cargo = command("cargo");
        cargo.args(["build", "--quiet", "--profile", "sandboxd", "-p", "sandboxd"]);
        run(cargo);
        // This program is target/debug/deps/NAME.
        let program = env::current_exe().expect("the path of this program");
        let targets = program.ancestors().nth(3).expect("the directory of targets");
        targets.join("sandboxd/sandboxd")
    };
    PATH.get_or_init(build).clone()
}

/// The path of `sandbar`, the command line. The tests of its own crate make cargo build it along with all
/// tests; it is built here if only these are run.
pub fn command_line() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        // This program is target/debug/deps/NAME.
        let program = env::current_exe().expect("the path of this program");
        let path = program.ancestors().nth(2).expect("a directory").join("sandbar");
        if !path.is_file() {
            let mut cargo = command("cargo");
            cargo.args(["build", "--quiet", "-p", "sandbar-cli"]);
            run(cargo);
        }
        path
    };
    PATH.get_or_init(build).clone()
}

fn run(mut command: Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?} failed");
}
