//! Memory: buffers share what there is, a log that nobody reads stops nobody, and commands are the first to go.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{Sandboxd, eventually, sandboxd_path};

fn small() -> Sandboxd {
    Sandboxd::start_with(|command| {
        command.env("SANDBOX_MAX_BUFFER_BYTES", "1048576");
    })
}

fn put(name: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "PUT /file/workspace/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.into_bytes(), vec![b'x'; length]].concat()
}

#[test]
fn what_needs_more_than_the_buffers_have_is_refused() {
    let sandboxd = small();
    let body = json!({"argv": ["cat"], "stdin": "x".repeat(2 << 20)}).to_string();
    let head = format!(
        "POST /exec HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (head, text) = sandboxd.raw_request((head + &body).as_bytes());
    assert!(
        head.starts_with("http/1.1 503") && text.contains("SANDBOX_MAX_BUFFER_BYTES"),
        "{head}{text}"
    );
    let (head, _) = sandboxd.raw_request(&put("large", 4 << 20));
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(fs::read_dir(sandboxd.workspace.path()).unwrap().count(), 0);
    // And gave back what it had.
    for _ in 0..20 {
        assert!(
            sandboxd
                .raw_request(&put("small", 900_000))
                .0
                .starts_with("http/1.1 200")
        );
        let body = json!({"argv": ["wc", "-c"], "stdin": "x".repeat(300_000)});
        assert_eq!(sandboxd.exec(&body).text(), "300000\n");
    }
}

#[test]
fn output_needs_no_room() {
    let sandboxd = small();
    let unread: Vec<_> = (0..16)
        .map(|_| sandboxd.begin(&json!({"argv": ["yes"]})))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let script = "head -c 3000000 /dev/zero; echo done";
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script]}));
    assert_eq!((output.code(), output.stdout().len()), (0, 3_000_005));
    drop(unread);
}

#[test]
fn a_hundred_clients_that_do_not_read() {
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("SANDBOX_MAX_BUFFER_BYTES", "16777216");
    });
    let before = sandboxd.resident_kib();
    let unread: Vec<_> = (0..100)
        .map(|_| sandboxd.begin(&json!({"argv": ["yes"]})))
        .collect();
    eventually("all run", || sandboxd.activity().commands == 100);
    std::thread::sleep(Duration::from_secs(3));
    let grown = sandboxd.resident_kib() - before;
    assert!(grown < 64 * 1024, "grew by {grown} KiB");
    drop(unread);
    eventually("all are gone", || sandboxd.activity().commands == 0);
}

#[test]
fn a_log_that_nobody_reads() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let workspace = tempfile::tempdir().unwrap();
    let mut sandboxd = Command::new(sandboxd_path())
        .args(["--listen", &address, "--workspace"])
        .arg(workspace.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it listens", || std::net::TcpStream::connect(&address).is_ok());
    let body = r#"{"argv":["true"]}"#;
    let request = format!(
        "POST /exec HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // Each writes a line of about a hundred bytes; a pipe holds 64 KiB.
    for number in 0..1500 {
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"exit_code\":0"), "command {number}: {answer}");
    }
    sandboxd.kill().unwrap();
    sandboxd.wait().unwrap();
}

#[test]
fn commands_are_the_first_to_go_when_memory_runs_out() {
    let score = |sandboxd: &Sandboxd| {
        // Where users are not switched, it is set a moment after the start.
        let script = "sleep 0.3; cat /proc/self/oom_score_adj; (cat /proc/self/oom_score_adj)";
        sandboxd.exec(&json!({"argv": ["sh", "-c", script]})).text()
    };
    let mut users = vec![None];
    if rustix::process::getuid().is_root() {
        users.push(Some("nobody"));
    }
    for user in users {
        let set = |command: &mut Command| {
            command.envs(user.map(|user| ("SANDBOX_USER", user)));
        };
        let sandboxd = Sandboxd::start_with(set);
        assert_eq!(score(&sandboxd), "500\n500\n", "{user:?}");
        let own = fs::read_to_string(format!("/proc/{}/oom_score_adj", sandboxd.pid())).unwrap();
        assert!(own.trim().parse::<i32>().unwrap() <= 0, "{own}");
        let sandboxd = Sandboxd::start_with(|command| {
            set(command);
            command.env("SANDBOX_COMMAND_OOM_SCORE", "900");
        });
        assert_eq!(score(&sandboxd), "900\n900\n", "{user:?}");
    }
}

/// It takes every process that the user may have. What sandboxd itself does needs none of them.
#[test]
fn a_fork_bomb() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: the kernel would count all processes of this user");
        return;
    }
    let sandboxd = Sandboxd::start_with(|command| {
        command
            .env("SANDBOX_USER", "nobody")
            .env("SANDBOX_MAX_PROCESSES", "200");
    });
    let bomb = json!({"argv": ["sh", "-c", "echo up; b() { b | b & wait; }; sleep 60 & (b) & wait"], "timeout_ms": 3000});
    let mut stream = sandboxd.begin(&bomb);
    stream.wait_for("up");
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..10 {
        assert!(sandboxd.request("GET", "/health").0.starts_with("http/1.1 200"));
        assert!(
            sandboxd
                .raw_request(&put("file", 1000))
                .0
                .starts_with("http/1.1 200")
        );
    }
    let output = stream.rest();
    assert_eq!(output.code(), 124);
    assert!(output.stderr().contains("fork"), "{}", output.stderr());
    eventually("others work", || {
        let output = sandboxd.exec(&json!({"argv": ["sh", "-c", "echo alone | cat"]}));
        output.text() == "alone\n"
    });
    let limits = sandboxd
        .exec(&json!({"argv": ["grep", "processes", "/proc/self/limits"]}))
        .text();
    let values: Vec<_> = limits.split_whitespace().collect();
    assert_eq!(values[2..4], ["200", "200"], "a command cannot raise it");
}
