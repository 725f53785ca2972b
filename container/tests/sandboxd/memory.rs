//! Memory: buffers share one limit, a log that nobody reads blocks nothing, and commands are ended
//! first.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use sandbox_protocol::pty::ServerMessage;
use serde_json::json;

use crate::support::{Sandboxd, Terminal, eventually, left_out, sandboxd_path, with_body};

fn small() -> Sandboxd {
    Sandboxd::start_with(|command| {
        command.env("SANDBOX_MAX_BUFFER_BYTES", "1048576");
    })
}

fn put(name: &str, length: usize) -> Vec<u8> {
    with_body(&format!("PUT /file/workspace/{name}"), "", vec![b'x'; length])
}

#[test]
fn what_needs_more_than_the_buffers_have_is_refused() {
    let sandboxd = small();
    let body = json!({"argv": ["cat"], "stdin": "x".repeat(2 << 20)}).to_string();
    let (head, text) = sandboxd.send("POST /exec", body);
    assert!(
        head.starts_with("http/1.1 503") && text.contains("SANDBOX_MAX_BUFFER_BYTES"),
        "{head}{text}"
    );
    let (head, _) = sandboxd.raw_request(&put("large", 4 << 20));
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(fs::read_dir(sandboxd.workspace.path()).unwrap().count(), 0);
    // And released its buffers.
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
fn sessions_share_the_buffers() {
    let sandboxd = small();
    let run = |session: &str, script: &str| sandboxd.run_in(session, &["bash", "-c", script]).0;
    let keep = "A=$(head -c 400000 /dev/zero | tr '\\0' x)";
    let kept = "echo ${#A} $B";
    for session in ["a", "b"] {
        assert_eq!(run(session, keep), "");
        assert_eq!(run(session, kept), "400000\n");
    }
    let refused = run("c", keep);
    assert!(
        refused.starts_with("session c: its state was not kept")
            && refused.contains("SANDBOX_MAX_BUFFER_BYTES"),
        "{refused}"
    );
    // It is as it was, and a little is always kept.
    assert_eq!(run("c", "B=1"), "");
    assert_eq!(run("c", kept), "0 1\n");
    let create = |bytes: usize| {
        let body = json!({"env": {"A": "x".repeat(bytes)}});
        sandboxd.create_session(&body.to_string())
    };
    let (status, error) = create(150_000);
    assert_eq!((status, &error["code"]), (503, &json!("limit_exceeded")));
    let message = error["error"].as_str().unwrap();
    assert!(message.contains("SANDBOX_MAX_BUFFER_BYTES"), "{message}");
    // A variable that is unset releases its bytes, and so does a session that is deleted.
    assert_eq!(run("a", "unset A"), "");
    assert_eq!(run("c", keep), "");
    assert_eq!(run("c", kept), "400000 1\n");
    for session in ["a", "b", "c"] {
        assert_eq!(sandboxd.delete_session(session).0, 200);
    }
    assert_eq!(create(150_000).0, 200);
}

#[test]
fn input_of_terminals_shares_the_buffers() {
    let sandboxd = small();
    let open = || {
        let mut terminal = Terminal::run(&sandboxd, "stty raw -echo; echo started; sleep 600");
        terminal.wait_for("started\n");
        terminal
    };
    // Each holds about 200 KB that its program does not read, and the fifth finds less than that
    // left.
    let fill = |terminal: &mut Terminal| (0..4).for_each(|_| terminal.send("x".repeat(60_000)));
    let mut held: Vec<_> = (0..4).map(|_| open()).collect();
    held.iter_mut().for_each(fill);
    let answers = |terminal: &mut Terminal| {
        // Answers come in turn with what was sent before.
        terminal.send_text("x");
        assert!(matches!(terminal.message(), ServerMessage::Error { .. }));
    };
    held.iter_mut().for_each(answers);
    let mut excess = open();
    fill(&mut excess);
    let finished = excess.finish();
    assert!(
        finished.error().contains("SANDBOX_MAX_BUFFER_BYTES"),
        "{finished:?}"
    );
    // A client that sends little is not affected.
    let mut keys = Terminal::run(&sandboxd, "echo started; read -r line; echo \"<$line>\"");
    keys.wait_for("started\n");
    keys.send("line\n");
    assert_eq!(keys.finish().text(), "<line>\n");
    drop(held);
    eventually("the terminals are gone", || !sandboxd.activity().is_busy());
    let mut again = open();
    fill(&mut again);
    answers(&mut again);
}

#[test]
fn output_needs_no_buffer() {
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
    let request = with_body("POST /exec", "", body);
    // Each writes a line of about a hundred bytes; a pipe holds 64 KiB.
    for number in 0..1500 {
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        connection.write_all(&request).unwrap();
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
        if user.is_none() {
            // A child that a program forks before its score is set is no safer than any other
            // process.
            let usual = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
            assert_eq!(own, usual);
        }
        let sandboxd = Sandboxd::start_with(|command| {
            set(command);
            command.env("SANDBOX_COMMAND_OOM_SCORE", "900");
        });
        assert_eq!(score(&sandboxd), "900\n900\n", "{user:?}");
    }
}

/// It uses up the processes that the user may have. sandboxd itself needs none of them.
#[test]
fn a_fork_bomb() {
    if !rustix::process::getuid().is_root() {
        left_out("the kernel would count all processes of this user");
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
