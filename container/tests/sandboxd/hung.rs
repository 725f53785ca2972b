//! Directories whose file system does not answer block the commands that use them, and no others.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::hung::{Answers, QUICK, TIMEOUT_MS, assert_quick, hang, others_go_on, start};
use crate::support::{Stream, Terminal, eventually};

#[test]
fn hundreds_of_commands_and_a_session_that_start_in_it() {
    let Some((sandboxd, hung)) = start(Answers::Nothing) else {
        return;
    };
    let mut silent = sandboxd.begin(&json!({"argv": ["sh", "-c", "echo; exec sleep 6"]}));
    assert_eq!(silent.next().unwrap().kind, "stdout");
    thread::scope(|scope| {
        let session = scope.spawn(|| sandboxd.create_session(r#"{"id":"s","cwd":"hung"}"#));
        let started = Instant::now();
        let hanging = hang(&sandboxd, json!({"argv": ["true"], "cwd": "hung"}), 600);
        others_go_on(&sandboxd, hanging, 1);
        assert!(
            started.elapsed() < Duration::from_millis(TIMEOUT_MS + 2000) + QUICK,
            "{:?}",
            started.elapsed()
        );
        // Still there, and so are the threads that look at the directory.
        let hanging = hang(&sandboxd, json!({"argv": ["true"], "cwd": "hung/deeper"}), 64);
        others_go_on(&sandboxd, hanging, 1);
        let comment = silent.next().unwrap();
        assert_eq!((comment.id, comment.kind.as_str()), (None, ""));
        drop(hung);
        let (status, answer) = session.join().unwrap();
        assert_eq!(status, 400, "{answer}");
    });
    assert_eq!(silent.rest().code(), 0);
    assert_eq!(sandboxd.exec(&json!({"argv": ["true"]})).code(), 0);
}

#[test]
fn the_other_commands_of_a_session_do_not_wait_for_a_directory_in_it() {
    let Some((sandboxd, hung)) = start(Answers::Nothing) else {
        return;
    };
    let mut hanging = sandboxd.begin_in("s", &json!({"argv": ["true"], "cwd": "hung"}));
    hanging.read_head();
    let output = sandboxd.exec_in("s", &json!({"argv": ["echo", "well"], "timeout_ms": 5000}));
    assert_eq!((output.text(), output.code()), ("well\n".into(), 0));
    drop(hung);
    assert_eq!(hanging.next().unwrap().kind, "error");
}

#[test]
fn programs_that_are_looked_for_in_it() {
    let Some((sandboxd, _hung)) = start(Answers::Nothing) else {
        return;
    };
    let hung = sandboxd.workspace.path().join("hung");
    let path = format!("{}:/usr/bin:/bin", hung.display());
    let mut hanging = hang(&sandboxd, json!({"argv": ["true"], "env": {"PATH": path}}), 64);
    hanging.extend(hang(&sandboxd, json!({"argv": [hung.join("tool")]}), 64));
    others_go_on(&sandboxd, hanging, 0);
}

#[test]
fn a_directory_that_hangs_when_it_is_entered() {
    let Some((sandboxd, _hung)) = start(Answers::Attributes) else {
        return;
    };
    let started = Instant::now();
    let hanging = hang(&sandboxd, json!({"argv": ["true"], "cwd": "hung"}), 64);
    // It has no end by the descriptor of another command.
    let input = "x".repeat(1 << 20);
    assert_eq!(
        sandboxd.exec(&json!({"argv": ["cat"], "stdin": input})).text(),
        input
    );
    others_go_on(&sandboxd, hanging, 0);
    assert!(started.elapsed() < Duration::from_millis(TIMEOUT_MS + 2000) + QUICK);
}

#[test]
fn sessions_and_terminals_that_work_in_it() {
    let Some((sandboxd, hung)) = start(Answers::Attributes) else {
        return;
    };
    assert_eq!(sandboxd.create_session(r#"{"id":"s","cwd":"hung"}"#).0, 200);
    let body = json!({"argv": ["true"], "timeout_ms": 300});
    let queued: Vec<_> = (0..3).map(|_| sandboxd.begin_in("s", &body)).collect();
    let terminal = Terminal::connect(&sandboxd, "session=s&cols=80&rows=24");
    for stream in queued {
        assert_eq!(stream.output().code(), 124);
    }
    others_go_on(&sandboxd, Vec::new(), 0);
    drop((terminal, hung));
    assert_quick("the session's end", || {
        assert_eq!(sandboxd.delete_session("s").0, 200)
    });
}

#[test]
fn without_a_timeout_the_client_hears_of_it_and_may_leave() {
    let Some((sandboxd, hung)) = start(Answers::Nothing) else {
        return;
    };
    let mut connection = sandboxd.connect();
    let body = r#"{"argv":["true"],"cwd":"hung"}"#;
    let request = format!(
        "POST /exec HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    connection.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut stream = sandboxd.begin(&serde_json::from_str(body).unwrap());
    stream.read_head();
    drop((connection, hung));
    let event = stream.next().unwrap();
    assert_eq!(event.kind, "error", "{}", event.data);
    assert!(event.data.contains("cwd is not a directory"), "{}", event.data);
}

#[test]
fn what_was_given_up_does_not_start_once_it_answers() {
    let Some((sandboxd, hung)) = start(Answers::Attributes) else {
        return;
    };
    let started = tempfile::tempdir().unwrap();
    let started = started.path();
    let body = |number: usize| json!({"argv": ["mkdir", started.join(number.to_string())], "cwd": "hung"});
    let mut left: Vec<_> = (0..32).map(|number| sandboxd.begin(&body(number))).collect();
    left.iter_mut().for_each(Stream::read_head);
    let mut late = body(99);
    late["timeout_ms"] = 200.into();
    (0..32)
        .map(|_| sandboxd.begin(&late))
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|stream| {
            assert_eq!(stream.output().code(), 124);
        });
    drop(left);
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
    hung.answer();
    let output = sandboxd.exec(&json!({"argv": ["ls", started], "cwd": "hung"}));
    assert_eq!(
        (output.text(), output.code()),
        (String::new(), 0),
        "{}",
        output.stderr()
    );
    eventually("nothing is left", || sandboxd.children() == 0);
    assert_eq!(started.read_dir().unwrap().count(), 0);
}
