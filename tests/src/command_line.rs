//! The command line, `sandbar`, as its users run it.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::{Bridge, build};

/// The result of a run of `sandbar`.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The standard output.
    pub stdout: Vec<u8>,
    /// The standard error, as text.
    pub stderr: String,
}

impl Ran {
    /// The standard output as text, without its last line break, of a run that has succeeded.
    pub fn text(&self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// `PATH` with the directory of `sandbar`.
pub fn search_path() -> OsString {
    let directory = build::command_line().parent().expect("a directory").to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(directory).chain(env::split_paths(&others))).expect("directories")
}

/// A command `sandbar` with a bridge in its environment.
pub fn command(bridge: &Bridge, arguments: &[&str]) -> Command {
    let mut command = Command::new(build::command_line());
    command
        .args(arguments)
        .env("SANDBOX_URL", &bridge.url)
        .env("SANDBOX_API_KEY", &bridge.key)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs it to its end, with some input, and asserts that no output has the key.
pub async fn run_with(mut command: Command, key: &str, input: Option<Vec<u8>>) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("sandbar");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A command need not read all of it.
        tokio::spawn(async move { stdin.write_all(&input).await });
    }
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().await.expect("its end");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    let outputs = [String::from_utf8_lossy(&stdout).into_owned(), stderr.clone()];
    assert!(
        key.is_empty() || outputs.iter().all(|text| !text.contains(key)),
        "the key is in {outputs:?}"
    );
    Ran {
        code: status.code(),
        stdout,
        stderr,
    }
}

/// [`run_with`] without input.
pub async fn run(bridge: &Bridge, arguments: &[&str]) -> Ran {
    run_with(command(bridge, arguments), &bridge.key, None).await
}

/// [`run`] in a directory of this machine.
pub async fn run_in(directory: &Path, bridge: &Bridge, arguments: &[&str]) -> Ran {
    let mut command = command(bridge, arguments);
    command.current_dir(directory);
    run_with(command, &bridge.key, None).await
}
