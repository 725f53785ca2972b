//! The process of a checkout. What it checks out is tested through the whole bridge.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::support::{Sandboxd, eventually, sandboxd_path, with_body};

#[test]
fn an_image_without_git_is_501() {
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("PATH", "/nowhere");
    });
    let (head, body) = sandboxd.send(
        "POST /git/checkout",
        r#"{"repoUrl":"http://127.0.0.1:9/a.git","targetDir":"a/b"}"#,
    );
    assert!(head.starts_with("http/1.1 501"), "{head}");
    assert!(body.contains(r#""code":"not_supported""#), "{body}");
    assert!(!sandboxd.workspace.path().join("a/b").exists());
}

/// As in a container: `sandboxd` is root, its commands are not.
#[test]
fn no_command_of_the_same_user_can_read_the_driver() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    // Commands may execute it there.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("sandboxd");
    fs::copy(sandboxd_path(), &program).unwrap();
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0"]);
    let sandboxd = Sandboxd::start_command(command, |command| {
        command.env("SANDBOX_USER", "nobody").env("HOME", "/nowhere");
    });
    fs::set_permissions(sandboxd.workspace.path(), Permissions::from_mode(0o777)).unwrap();

    // A server that takes the credentials and then never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            loop {
                while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() > 0 {
                    request.extend_from_slice(&byte);
                }
                if request.is_empty() {
                    break;
                }
                if String::from_utf8_lossy(&request).contains("Authorization: Basic") {
                    return connection;
                }
                request.clear();
                let refused = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n";
                connection.write_all(refused).unwrap();
            }
        }
        unreachable!("a listener has no end")
    });
    let body = json!({
        "repoUrl": format!("http://127.0.0.1:{port}/a.git"),
        "auth": { "token": "t0ken", "username": "u" },
    });
    let mut client = sandboxd.connect();
    client
        .write_all(&with_body("POST /git/checkout", "", body.to_string()))
        .unwrap();
    let _held = server.join().unwrap();

    let script = "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in *' git-checkout '*) break;; esac; done; \
                  id -un; stat -c %U $p/status; for f in environ mem maps fd/210; do cat $p/$f || echo denied; done 2>/dev/null; \
                  ls $p/fd || echo denied; cat $p/cmdline | grep -c t0ken";
    let output = sandboxd.exec(&json!({ "argv": ["sh", "-c", script] }));
    assert_eq!(
        output.text(),
        "nobody\nroot\ndenied\ndenied\ndenied\ndenied\ndenied\n0\n",
        "{output:?}"
    );
    drop(client);
    eventually("the checkout ends with its client", || {
        let script = "cat /proc/[0-9]*/comm | grep -c git-remote";
        sandboxd.exec(&json!({ "argv": ["sh", "-c", script] })).text() == "0\n"
    });
}
