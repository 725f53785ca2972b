//! `GET /resume`: what is to run again after a sleep.

use sandbox_protocol::ExecRequest;
use sandbox_protocol::snapshot::Resume;
use serde_json::{Value, json};

use crate::support::{Sandboxd, eventually};

fn start(sandboxd: &Sandboxd, body: &str) {
    let (head, answer) = sandboxd.send("POST /process", body);
    assert!(head.starts_with("http/1.1 200"), "{head}{answer}");
}

fn processes(sandboxd: &Sandboxd) -> Vec<String> {
    let (head, body) = sandboxd.request("GET", "/resume");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let resume: Resume = serde_json::from_str(&body).unwrap();
    assert!(resume.mounts.is_empty());
    let texts = resume.processes.iter().map(|process| process.get().to_owned());
    texts.collect()
}

#[test]
fn running_processes_with_restart_can_be_started_by_what_it_tells() {
    let sandboxd = Sandboxd::start();
    let first = r#"{"argv":["sleep","600"],"id":"first","restart":true, "cwd":".","env":{"A":"é\n"}}"#;
    let second = r#"{"command":"sleep 600","restart":true,"stdin_open":true}"#;
    start(&sandboxd, first);
    start(&sandboxd, r#"{"argv":["sleep","600"],"id":"other"}"#);
    start(&sandboxd, r#"{"argv":["true"],"id":"ended","restart":true}"#);
    start(&sandboxd, second);
    eventually("one has ended", || processes(&sandboxd).len() == 2);
    let found = processes(&sandboxd);
    assert_eq!(found, [first, second]);
    for body in &found {
        assert!(ExecRequest::parse(body.as_bytes()).unwrap().restart);
    }
    // The same request with the same id starts nothing again.
    start(&sandboxd, &found[0]);
    assert_eq!(processes(&sandboxd), [first, second]);

    let other = Sandboxd::start();
    found.iter().for_each(|body| start(&other, body));
    assert_eq!(processes(&other), found);
    other.request("DELETE", "/process/first");
    assert_eq!(processes(&other), [second]);
}

#[test]
fn a_command_is_not_restarted_and_a_session_cannot_be() {
    let sandboxd = Sandboxd::start();
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", "echo begun; sleep 600"], "restart": true}));
    stream.wait_for("begun");
    assert!(processes(&sandboxd).is_empty());
    sandboxd.create_session(r#"{"id":"s"}"#);
    let body = r#"{"argv":["sleep","600"],"restart":true}"#;
    let request = crate::support::with_body("POST /process", "session-id: s\r\n", body);
    let (head, answer) = sandboxd.raw_request(&request);
    assert!(head.starts_with("http/1.1 400"), "{head}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["error"], "restart and Session-Id cannot both be set");
}
