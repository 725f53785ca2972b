//! Requests over a limit get an error that names it, and all others continue.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sandbox_protocol::{ErrorBody, ErrorCode};
use serde_json::json;

use crate::support::{Sandboxd, Stream, eventually, sleeping, unique_sleep, with_body};

fn with(variables: &[(&'static str, &'static str)]) -> Sandboxd {
    Sandboxd::start_with(|command| {
        command.envs(variables.iter().copied());
    })
}

/// The answer up to the close of the connection: head in lower case, and body.
fn answer(mut connection: TcpStream) -> (String, String) {
    let mut answer = String::new();
    // A close while we still send is not a failure.
    let _ = connection.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (head.to_lowercase(), body.to_owned())
}

fn assert_limit((head, body): &(String, String), name: &str) {
    assert!(head.starts_with("http/1.1 503"), "{head}{body}");
    assert!(head.contains("retry-after: "), "{head}");
    let error: ErrorBody = serde_json::from_str(body).unwrap();
    assert_eq!(error.code, ErrorCode::LimitExceeded);
    assert!(error.error.contains(name), "{error:?}");
}

fn exec(body: &str) -> Vec<u8> {
    with_body("POST /exec", "", body)
}

fn assert_works(sandboxd: &Sandboxd) {
    assert_eq!(sandboxd.exec(&json!({"argv": ["echo", "well"]})).text(), "well\n");
}

#[test]
fn a_limit_that_is_no_number_is_named() {
    let output = std::process::Command::new(crate::support::sandboxd_path())
        .args(["--listen", "127.0.0.1:0", "--workspace", "/tmp"])
        .env("SANDBOX_MAX_COMMANDS", "many")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("SANDBOX_MAX_COMMANDS") && stderr.contains("many"),
        "{stderr}"
    );
}

#[test]
fn a_thousand_commands_at_once() {
    let sandboxd = Sandboxd::start();
    let begin = |_| {
        let connection = sandboxd.connect();
        // Their start takes its time where others work, too.
        connection
            .set_read_timeout(Some(std::time::Duration::from_secs(120)))
            .unwrap();
        Stream::begin(connection, br#"{"argv": ["sleep", "2"]}"#)
    };
    let streams: Vec<_> = (0..1000).map(begin).collect();
    for stream in streams {
        assert_eq!(stream.output().code(), 0);
    }
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn commands_over_the_limit_are_refused_and_the_others_go_on() {
    let sandboxd = with(&[("SANDBOX_MAX_COMMANDS", "20")]);
    let duration = unique_sleep();
    let body = json!({"argv": ["sh", "-c", format!("echo up; exec sleep {duration}")]});
    let mut running: Vec<_> = (0..20).map(|_| sandboxd.begin(&body)).collect();
    for stream in &mut running {
        stream.wait_for("up");
    }
    for _ in 0..200 {
        let mut connection = sandboxd.connect();
        connection.write_all(&exec(&body.to_string())).unwrap();
        assert_limit(&answer(connection), "the limit is 20 (SANDBOX_MAX_COMMANDS)");
    }
    assert_eq!(sleeping(&duration).len(), 20);
    running.pop();
    eventually("there is capacity again", || {
        let mut connection = sandboxd.connect();
        connection.write_all(&exec(r#"{"argv":["true"]}"#)).unwrap();
        answer(connection).0.starts_with("http/1.1 200")
    });
    drop(running);
    eventually("all are gone", || sleeping(&duration).is_empty());
    assert_works(&sandboxd);
}

#[test]
fn heads_that_are_too_large() {
    let sandboxd = Sandboxd::start();
    let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(1 << 20));
    for headers in [many, long] {
        let mut connection = sandboxd.connect();
        let _ = connection.write_all(format!("GET /health HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes());
        let (head, _) = answer(connection);
        // Bytes still on their way may have reset the connection before the answer was read.
        assert!(head.is_empty() || head.starts_with("http/1.1 431"), "{head}");
    }
    let within: String = (0..90).map(|n| format!("x-{n}: y\r\n")).collect();
    let request = format!("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{within}\r\n");
    assert!(
        sandboxd
            .raw_request(request.as_bytes())
            .0
            .starts_with("http/1.1 200")
    );
    let sandboxd = with(&[("SANDBOX_MAX_HEADERS", "16")]);
    assert!(
        sandboxd
            .raw_request(request.as_bytes())
            .0
            .starts_with("http/1.1 431")
    );
    assert_works(&sandboxd);
}

#[test]
fn a_head_that_does_not_come() {
    let sandboxd = with(&[("SANDBOX_HEADER_TIMEOUT_MS", "300")]);
    for beginning in ["", "GET /health HTTP/1.1\r\nhost: x\r\n"] {
        let mut connection = sandboxd.connect();
        connection.write_all(beginning.as_bytes()).unwrap();
        // It is closed, and not by the timeout of the test.
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).unwrap();
    }
    assert_works(&sandboxd);
}

#[test]
fn a_connection_that_was_used_waits_for_its_next_request() {
    let sandboxd = with(&[("SANDBOX_HEADER_TIMEOUT_MS", "300")]);
    let mut connection = sandboxd.connect();
    for _ in 0..2 {
        write!(connection, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        // The rest of the answer comes and goes meanwhile, and so does the time that a head may
        // take.
        std::thread::sleep(Duration::from_secs(1));
        connection.set_nonblocking(true).unwrap();
        let mut rest = [0; 4096];
        assert!(connection.read(&mut rest).unwrap() > 0, "it is not closed");
        assert_eq!(
            connection.read(&mut rest).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        connection.set_nonblocking(false).unwrap();
    }
    assert_works(&sandboxd);
}

#[test]
fn a_body_that_stands_still() {
    let sandboxd = with(&[("SANDBOX_BODY_TIMEOUT_MS", "300")]);
    let file = sandboxd.workspace.path().join("file");
    std::fs::write(&file, "old").unwrap();
    for begin in ["POST /exec", "PUT /file/workspace/file"] {
        for framing in [
            "content-length: 100\r\n\r\n{\"argv\"",
            "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ] {
            let mut connection = sandboxd.connect();
            write!(connection, "{begin} HTTP/1.1\r\nhost: x\r\n{framing}").unwrap();
            let (head, body) = answer(connection);
            assert!(head.starts_with("http/1.1 408"), "{begin}: {head}");
            let error: ErrorBody = serde_json::from_str(&body).unwrap();
            assert_eq!(error.code, ErrorCode::RequestTimeout);
            assert!(error.error.contains("SANDBOX_BODY_TIMEOUT_MS"), "{error:?}");
        }
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(sandboxd.workspace.path()).unwrap().count(), 1);
    // A slow request that does arrive.
    let mut connection = sandboxd.connect();
    let request = exec(r#"{"argv":["true"]}"#);
    for part in request.chunks(request.len().div_ceil(8)) {
        connection.write_all(part).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(answer(connection).0.starts_with("http/1.1 200"));
}

#[test]
fn connections_over_the_limit_are_refused() {
    let sandboxd = with(&[("SANDBOX_MAX_CONNECTIONS", "8")]);
    let mut running: Vec<_> = (0..8)
        .map(|_| sandboxd.begin(&json!({"argv": ["sh", "-c", "echo up; sleep 60"]})))
        .collect();
    for stream in &mut running {
        stream.wait_for("up");
    }
    for _ in 0..100 {
        let mut connection = sandboxd.connect();
        connection
            .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let answer = answer(connection);
        assert!(answer.0.contains("connection: close"));
        assert_limit(&answer, "SANDBOX_MAX_CONNECTIONS");
    }
    drop(running);
    eventually("there is capacity again", || {
        sandboxd.request("GET", "/health").0.starts_with("http/1.1 200")
    });
}

/// The oldest connection without a secret is closed for the next, so no client can be kept out.
#[test]
fn connections_that_show_nothing_are_closed_for_others() {
    let sandboxd = with(&[("SANDBOX_MAX_UNAUTHENTICATED_CONNECTIONS", "4")]);
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", "echo up; sleep 3; echo still"]}));
    stream.wait_for("up");
    let mut silent: Vec<_> = (0..16).map(|_| sandboxd.connect()).collect();
    assert_works(&sandboxd);
    let mut rest = Vec::new();
    // Long before its timeout.
    silent.remove(0).read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert_eq!(stream.rest().text(), "still\n", "one that is in use stays");
}

#[test]
fn thousands_of_silent_connections_take_nothing_from_clients() {
    let sandboxd = with(&[("SANDBOX_SECRET", "s")]);
    let files = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: files.maximum,
        ..files
    };
    setrlimit(Resource::Nofile, all).unwrap();
    let _silent: Vec<_> = (0..4100).map(|_| sandboxd.connect()).collect();
    let begin = |_| {
        Stream::begin_with(
            sandboxd.connect(),
            "sandbox-secret: s\r\n",
            br#"{"argv": ["true"]}"#,
        )
    };
    for _ in 0..10 {
        let streams: Vec<_> = (0..60).map(begin).collect();
        for stream in streams {
            assert_eq!(stream.output().code(), 0);
        }
    }
}

#[test]
fn clients_that_connect_at_the_same_time_are_all_served() {
    let sandboxd = with(&[
        ("SANDBOX_SECRET", "s"),
        ("SANDBOX_MAX_UNAUTHENTICATED_CONNECTIONS", "50"),
    ]);
    // All are connected before the first has sent anything.
    let connections: Vec<_> = (0..50).map(|_| sandboxd.connect()).collect();
    let begin =
        |connection| Stream::begin_with(connection, "sandbox-secret: s\r\n", br#"{"argv": ["true"]}"#);
    let streams: Vec<_> = connections.into_iter().map(begin).collect();
    for stream in streams {
        assert_eq!(stream.output().code(), 0);
    }
}

#[test]
fn background_processes_over_the_limit_lose_their_output() {
    let sandboxd = with(&[("SANDBOX_MAX_BACKGROUND_OUTPUTS", "1")]);
    let script =
        "(trap '' PIPE; while [ ! -e lost.$$ ]; do sleep 0.1; echo x 2>/dev/null || touch lost.$$; done) &";
    for _ in 0..2 {
        assert_eq!(sandboxd.exec(&json!({"argv": ["sh", "-c", script]})).code(), 0);
    }
    let lost = || sandboxd.workspace.path().read_dir().unwrap().count();
    eventually("the pipe of one is closed", || lost() > 0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(lost(), 1, "the other is read further");
    assert_works(&sandboxd);
}
