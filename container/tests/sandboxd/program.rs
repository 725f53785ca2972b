//! The program that runs, its arguments and environment, and the error when none can run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::{Output, Sandboxd};

fn write(sandboxd: &Sandboxd, name: &str, mode: u32, content: impl AsRef<[u8]>) {
    let file = sandboxd.workspace.path().join(name);
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

fn result(output: &Output) -> (i32, String, String) {
    (output.code(), output.text(), output.stderr())
}

#[test]
fn arguments_arrive_untouched() {
    let sandboxd = Sandboxd::start();
    let long = "many\nlines 'and' \"quotes\" $HOME \\ 🦀\n".repeat(1000);
    let output = sandboxd.exec(&json!({"argv": ["printf", "%s|", "a b", "", "*", long]}));
    assert_eq!(output.text(), format!("a b||*|{long}|"));
}

#[test]
fn execution_errors_are_those_of_a_shell() {
    let sandboxd = Sandboxd::start();
    write(&sandboxd, "data", 0o644, "text");
    write(&sandboxd, "binary", 0o755, b"\x7fNOT\0 a program");
    write(&sandboxd, "lost", 0o755, "#!/no/such/interpreter\n");
    for (name, code, message) in [
        ("no-such-program", 127, "no-such-program: command not found\n"),
        ("./none", 127, "./none: No such file or directory\n"),
        ("/no/such/file", 127, "/no/such/file: No such file or directory\n"),
        ("", 127, ": command not found\n"),
        ("./lost", 127, "./lost: cannot execute: required file not found\n"),
        ("./data", 126, "./data: Permission denied\n"),
        ("/", 126, "/: Is a directory\n"),
        ("./data/x", 126, "./data/x: Not a directory\n"),
        (
            "./binary",
            126,
            "./binary: cannot execute binary file: Exec format error\n",
        ),
    ] {
        let output = sandboxd.exec(&json!({"argv": [name]}));
        assert_eq!(
            result(&output),
            (code, String::new(), message.to_owned()),
            "{name}"
        );
    }
    let output = sandboxd.exec(&json!({"argv": ["true", "x".repeat(3 << 20)]}));
    assert_eq!(
        result(&output),
        (126, String::new(), "true: Argument list too long\n".to_owned())
    );
}

#[test]
fn a_script_without_an_interpreter_runs_in_sh() {
    let sandboxd = Sandboxd::start();
    write(&sandboxd, "script", 0o755, "echo \"$0 $1\"; exit 5\n");
    let output = sandboxd.exec(&json!({"argv": ["./script", "one"]}));
    assert_eq!(result(&output), (5, "./script one\n".to_owned(), String::new()));
}

#[test]
fn exit_codes_and_signals() {
    let sandboxd = Sandboxd::start();
    for code in [0, 1, 64, 111, 124, 255] {
        let output = sandboxd.exec(&json!({"argv": ["sh", "-c", format!("exit {code}")]}));
        assert_eq!(
            (output.code(), &output.exit.signal, output.exit.timed_out),
            (code, &None, false)
        );
    }
    for (signal, code, name) in [(9, 137, "SIGKILL"), (15, 143, "SIGTERM"), (11, 139, "SIGSEGV")] {
        let output = sandboxd.exec(&json!({"argv": ["sh", "-c", format!("kill -{signal} $$")]}));
        assert_eq!((output.code(), output.exit.signal.as_deref()), (code, Some(name)));
    }
}

#[test]
fn a_bare_builtin_runs_in_a_shell() {
    let sandboxd = Sandboxd::start();
    let output = sandboxd.exec(&json!({"argv": ["ulimit", "-n"]}));
    assert!(output.text().trim().parse::<u32>().is_ok(), "{output:?}");
    assert_eq!(sandboxd.exec(&json!({"argv": ["exit", "3"]})).code(), 3);
    assert_eq!(
        sandboxd
            .exec(&json!({"argv": ["cd", "/no such directory"]}))
            .code(),
        1
    );
    let output = sandboxd.exec(&json!({"argv": ["export"], "env": {"SEEN": "it is"}}));
    assert!(output.text().contains("SEEN=\"it is\""), "{output:?}");
    let output = sandboxd.exec(&json!({"argv": ["type", "sh"]}));
    assert!(output.text().starts_with("sh is "), "{output:?}");
}

#[test]
fn the_environment_is_the_requests_and_nothing_of_sandboxd() {
    let sandboxd = Sandboxd::start_with(|command| {
        command
            .env_clear()
            .env("OF_THE_IMAGE", "1")
            .env("SANDBOX_BOOT_ID", "boot");
    });
    let output = sandboxd.exec(&json!({"argv": ["env"], "env": {"A": "b=c\nd", "LANG": "C"}}));
    let names: Vec<_> = output
        .text()
        .lines()
        .map(|line| line.split('=').next().unwrap().to_owned())
        .collect();
    for name in ["A", "HOME", "LANG", "OF_THE_IMAGE", "PATH", "SANDBOX_EXEC_ID"] {
        assert!(names.iter().any(|have| have == name), "{name} in {names:?}");
    }
    assert!(output.text().contains("\nLANG=C\n") || output.text().starts_with("LANG=C\n"));
    assert!(output.text().contains("A=b=c\nd\n"));
    assert!(!output.text().contains("SANDBOX_BOOT_ID") && !output.text().contains("boot\n"));
    // No inherited descriptors either: the three of its own, and the one that `ls` reads the
    // directory with.
    let output = sandboxd.exec(&json!({"argv": ["ls", "/proc/self/fd"]}));
    assert_eq!(output.text(), "0\n1\n2\n3\n");
}

#[test]
fn the_path_of_the_request_finds_the_program() {
    let sandboxd = Sandboxd::start();
    write(&sandboxd, "mine", 0o755, "#!/bin/sh\necho mine $0\n");
    let output = sandboxd.exec(&json!({"argv": ["mine"], "env": {"PATH": "/nowhere::/usr/bin"}}));
    assert_eq!(output.text(), "mine ./mine\n");
    assert_eq!(sandboxd.exec(&json!({"argv": ["mine"]})).code(), 127);
    // A builtin that is in PATH as a program is that program.
    write(&sandboxd, "cd", 0o755, "#!/bin/sh\necho program\n");
    let output = sandboxd.exec(&json!({"argv": ["cd", "/"], "env": {"PATH": "."}}));
    assert_eq!(output.text(), "program\n");
}

#[test]
fn a_command_starts_where_it_is_told() {
    let sandboxd = Sandboxd::start();
    let workspace = sandboxd.workspace.path().canonicalize().unwrap();
    fs::create_dir_all(workspace.join("a b/c")).unwrap();
    for (cwd, directory) in [("/workspace", ""), ("a b", "a b"), ("/workspace/a b/c", "a b/c")] {
        let output = sandboxd.exec(&json!({"argv": ["pwd", "-P"], "cwd": cwd}));
        assert_eq!(
            output.text().trim_end(),
            workspace.join(directory).to_str().unwrap().trim_end_matches('/')
        );
    }
}
