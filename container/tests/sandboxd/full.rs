//! Disks that are full, have no inodes left or cannot be written, each made for the test in a mount
//! namespace.

use std::process::{Command, Stdio};

use sandbox_protocol::{ErrorBody, ErrorCode};
use serde_json::json;

use crate::support::{Sandboxd, left_out, sandboxd_path};

/// A `sandboxd` whose workspace, its last argument, is a file system of its own in memory, with
/// these options. `None` where nothing can be mounted.
fn start(options: &str) -> Option<Sandboxd> {
    let script = format!(
        "for workspace; do :; done; mount -t tmpfs -o {options} none \"$workspace\" && exec \"$0\" \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount"]);
    let mut probe = Command::new("unshare");
    probe.args([
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "none",
        "/mnt",
    ]);
    if !probe
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        left_out("no file system can be mounted here");
        return None;
    }
    command
        .args(["sh", "-c", &script])
        .arg(sandboxd_path())
        .args(["--listen", "127.0.0.1:0"]);
    Some(Sandboxd::start_command(command, |_| {}))
}

fn put(sandboxd: &Sandboxd, name: &str, bytes: &[u8]) -> (String, Option<ErrorBody>) {
    let (head, body) = sandboxd.send(&format!("PUT /file/workspace/{name}"), bytes);
    (head, serde_json::from_str(&body).ok())
}

fn assert_no_space((head, error): (String, Option<ErrorBody>)) {
    assert!(head.starts_with("http/1.1 507"), "{head}{error:?}");
    assert_eq!(error.unwrap().code, ErrorCode::NoSpace);
}

fn sh(sandboxd: &Sandboxd, script: &str) -> String {
    sandboxd.exec(&json!({"argv": ["sh", "-c", script]})).text()
}

#[test]
fn a_full_disk() {
    let Some(sandboxd) = start("size=2m") else { return };
    assert!(put(&sandboxd, "file", b"old").0.starts_with("http/1.1 200"));
    assert_no_space(put(&sandboxd, "file", &vec![b'x'; 4 << 20]));
    assert_eq!(sh(&sandboxd, "ls -A; cat file"), "file\nold");
    // As when a command has filled it.
    assert!(sh(&sandboxd, "head -c 4000000 /dev/zero 2>&1 >filler; echo; ls").contains("filler"));
    assert_no_space(put(&sandboxd, "file", b"new"));
    assert_eq!(sh(&sandboxd, "cat file; rm filler"), "old");
    assert!(put(&sandboxd, "file", b"new").0.starts_with("http/1.1 200"));
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let Some(sandboxd) = start("size=2m") else { return };
    sh(
        &sandboxd,
        "echo text >small; mkdir d; head -c 900000 /dev/zero >d/f; head -c 700000 /dev/zero >filler",
    );
    let post = |path: &str, body: serde_json::Value| {
        let (head, body) = sandboxd.send(&format!("POST {path}"), body.to_string().as_bytes());
        (head, serde_json::from_str(&body).ok())
    };
    assert_no_space(post(
        "/copy",
        json!({ "from": "d", "to": "e", "recursive": true }),
    ));
    assert_no_space(post("/copy", json!({ "from": "d/f", "to": "small" })));
    assert_no_space(put(&sandboxd, "small?append=true", &vec![b'x'; 1 << 20]));
    let edits = json!([{ "old": "text", "new": "x".repeat(600_000) }]);
    assert_no_space(post(
        "/edit",
        json!({ "files": [{ "path": "small", "edits": edits }] }),
    ));
    assert_eq!(
        sh(&sandboxd, "find . | sort; cat small"),
        ".\n./d\n./d/f\n./filler\n./small\ntext\n"
    );
    sh(&sandboxd, "rm filler");
    let (head, _) = post("/copy", json!({ "from": "d", "to": "e", "recursive": true }));
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[test]
fn no_inodes() {
    let Some(sandboxd) = start("size=2m,nr_inodes=8") else {
        return;
    };
    assert!(put(&sandboxd, "file", b"old").0.starts_with("http/1.1 200"));
    sh(&sandboxd, "for n in 1 2 3 4 5 6 7 8; do : >$n; done");
    assert_no_space(put(&sandboxd, "new", b"x"));
    assert_no_space(put(&sandboxd, "file", b"new"));
    assert_no_space(put(&sandboxd, "new/directory/file", b"new"));
    assert_eq!(sh(&sandboxd, "cat file; rm 1 2 3"), "old");
    assert!(put(&sandboxd, "file", b"new").0.starts_with("http/1.1 200"));
}

#[test]
fn a_workspace_that_is_read_only() {
    let Some(sandboxd) = start("ro") else { return };
    let (head, error) = put(&sandboxd, "file", b"x");
    let error = error.unwrap();
    assert!(head.starts_with("http/1.1 502"), "{head}");
    assert_eq!(error.code, ErrorCode::WorkspaceArchiveWriteError);
    assert!(error.error.contains("Read-only file system"), "{error:?}");
    assert_eq!(sh(&sandboxd, "echo well"), "well\n");
}
