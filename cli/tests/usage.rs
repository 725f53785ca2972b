//! The program without a bridge: its help, its completions, and what it says about wrong arguments.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

const KEY: &str = "a-very-secret-key";

const COMMANDS: [&str; 14] = [
    "run",
    "exec",
    "sh",
    "create",
    "ls",
    "rm",
    "ps",
    "logs",
    "kill",
    "cp",
    "port",
    "snap",
    "mcp",
    "completions",
];

/// Runs the program with the key in its environment, and asserts that it does not show it.
fn sandbar(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_sandbar"))
        .args(arguments)
        .env("SANDBOX_API_KEY", KEY)
        .env_remove("SANDBOX_URL")
        .output()
        .unwrap();
    for text in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(text).contains(KEY), "{arguments:?}");
    }
    output
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let output = sandbar(&[command, flag]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success() && text.contains("Example"),
                "{command}: {text}"
            );
            assert!(text.contains(&format!("sandbar {command}")), "{command}: {text}");
        }
    }
    let all = String::from_utf8(sandbar(&["--help"]).stdout).unwrap();
    assert!(
        COMMANDS
            .iter()
            .all(|command| all.contains(&format!("\n  {command} "))),
        "{all}"
    );
    assert!(sandbar(&["--version"]).stdout.starts_with(b"sandbar "));
}

#[test]
fn an_error_is_one_line_and_has_an_exit_code_of_its_own() {
    for (arguments, code, text) in [
        (&[][..], 1, "a command is missing"),
        (&["no-such-command"], 1, "unrecognized subcommand"),
        (&["ls"], 1, "set SANDBOX_URL"),
        (&["ls", "--no-such-option"], 1, "unexpected argument"),
        (&["rm", "NOT-AN-ID"], 1, "invalid value"),
        (&["exec"], 125, "required arguments"),
        (&["exec", "abc", "true"], 125, "set SANDBOX_URL"),
        (
            &["--url", "ftp://host", "run", "true"],
            125,
            "must begin with http",
        ),
        (&["run", "--timeout", "5", "true"], 125, "invalid value"),
        (
            &["--key", "a\nb", "--url", "http://localhost:9", "ls"],
            1,
            "the key has a character",
        ),
    ] {
        let output = sandbar(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(
            stderr.starts_with("sandbar: ") && stderr.contains(text),
            "{arguments:?}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn shells_have_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = sandbar(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            COMMANDS.iter().all(|command| script.contains(command)),
            "{shell}: {script}"
        );
    }
}

#[test]
fn a_key_among_the_arguments_is_not_in_the_list_of_processes() {
    // Nothing is answered, so that the program waits.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_sandbar"))
        .args(["--key", KEY, "--url", &url, "ls"])
        .env_remove("SANDBOX_API_KEY")
        .spawn()
        .unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let mut request = vec![0; 4096];
    let length = std::io::Read::read(&mut connection, &mut request).unwrap();
    assert!(String::from_utf8_lossy(&request[..length]).contains(&format!("Bearer {KEY}")));
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(
        !arguments.contains(KEY) && arguments.contains("--url"),
        "{arguments:?}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
