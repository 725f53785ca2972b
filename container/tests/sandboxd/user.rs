//! Commands run as another user. Only root can switch users; run by others, the tests check
//! nothing.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::support::{Sandboxd, sandboxd_path, sleeping, unique_sleep};

fn as_nobody(command: &mut Command) {
    command.env("SANDBOX_USER", "nobody");
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[test]
fn commands_have_its_ids_and_home() {
    if !is_root() {
        return;
    }
    let sandboxd = Sandboxd::start_with(as_nobody);
    let script = "id -un; id -u; id -G; echo $USER $LOGNAME $HOME";
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script]}));
    let text = output.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[2]),
        ("nobody", "65534", "65534"),
        "{output:?}"
    );
    assert!(lines[3].starts_with("nobody nobody /"), "{output:?}");
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", "kill -9 $PPID"]}));
    assert_ne!(output.code(), 0);
    assert_eq!(sandboxd.exec(&json!({"argv": ["cat", "/etc/shadow"]})).code(), 1);
    assert_eq!(sandboxd.exec(&json!({"argv": ["no-such-program"]})).code(), 127);
}

/// As root is in a container: without the right to look into the processes of others.
#[test]
fn a_daemon_is_found_without_the_right_to_trace() {
    if !is_root() {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]);
    command.arg(sandboxd_path()).args(["--listen", "127.0.0.1:0"]);
    let sandboxd = Sandboxd::start_command(command, as_nobody);
    let duration = unique_sleep();
    let script = format!("(setsid sleep {duration} >/dev/null 2>&1 &); sleep 60");
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script], "timeout_ms": 500}));
    assert_eq!((output.code(), sleeping(&duration).len()), (124, 0));
}

#[test]
fn a_user_that_does_not_exist() {
    let output = Command::new(sandboxd_path())
        .args(["--listen", "127.0.0.1:0", "--workspace", "/tmp"])
        .env("SANDBOX_USER", "no such user")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("there is no user")
    );
}

#[test]
fn a_file_that_the_kernel_cannot_execute_is_reported() {
    if !is_root() {
        return;
    }
    let sandboxd = Sandboxd::start_with(as_nobody);
    for (name, content) in [
        ("binary", "\x7fNOT\0 a program"),
        ("script", "echo $0 $1; exit 5"),
    ] {
        let file = sandboxd.workspace.path().join(name);
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    }
    let output = sandboxd.exec(&json!({"argv": ["./binary"]}));
    assert_eq!(
        (output.code(), output.stderr().as_str()),
        (126, "./binary: cannot execute binary file: Exec format error\n")
    );
    let output = sandboxd.exec(&json!({"argv": ["./script", "one"]}));
    assert_eq!((output.code(), output.text().as_str()), (5, "./script one\n"));
    let output =
        sandboxd.exec(&json!({"argv": ["bash", "-c", "echo $0 $1 $A", "zero", "one"], "env": {"A": "b"}}));
    assert_eq!(output.text(), "zero one b\n");
}
