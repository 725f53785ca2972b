//! A line with the query that opens a terminal, and behind it a frame, taken as text and as the
//! first binary one.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sandbox_protocol::PtyRequest;
use sandbox_protocol::pty::{ClientMessage, Mode, ServerMessage};
use sandboxd::pty::job::Job;

fuzz_target!(|input: &[u8]| {
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let (query, frame) = input.split_at(end);
    let frame = frame.strip_prefix(b"\n").unwrap_or(frame);
    if let Ok(query) = str::from_utf8(query) {
        open(query);
    }
    if let Ok(text) = str::from_utf8(frame) {
        text_frame(text);
    }
    first_frame(frame);
});

fn open(query: &str) {
    match PtyRequest::parse(query, None) {
        Ok(request) => {
            let (cols, rows) = (request.size.cols(), request.size.rows());
            assert!((1..=1000).contains(&cols) && (1..=1000).contains(&rows));
            let written = request.to_string();
            assert_eq!(PtyRequest::parse(&written, None).as_ref(), Ok(&request));
            if let Some(shell) = &request.shell {
                assert!(shell.as_str().starts_with('/') || !shell.as_str().contains('/'));
            }
            // The rest of the query, a key for example, is not forwarded.
            assert!(written.split('&').all(|parameter| {
                let name = parameter.split('=').next().unwrap_or_default();
                ["cols", "rows", "mode", "shell", "session"].contains(&name)
            }));
        }
        Err(error) => assert_eq!(error.status(), 400),
    }
}

fn text_frame(text: &str) {
    match ClientMessage::parse(text) {
        Ok(ClientMessage::Resize(size)) => {
            let (cols, rows) = (size.cols(), size.rows());
            assert!((1..=1000).contains(&cols) && (1..=1000).contains(&rows));
            let plain = format!(r#"{{"type":"resize","cols":{cols},"rows":{rows}}}"#);
            assert_eq!(ClientMessage::parse(&plain), Ok(ClientMessage::Resize(size)));
        }
        Err(error) => {
            assert_eq!(error.status(), 400);
            // The answer is a frame that the client can read.
            let message = error.message().to_owned();
            let answer = ServerMessage::Error { message };
            assert_eq!(
                serde_json::from_str::<ServerMessage>(&answer.to_json()).unwrap(),
                answer
            );
        }
    }
}

fn first_frame(frame: &[u8]) {
    let bytes = Bytes::copy_from_slice(frame);
    let job = |mode| Job::from_input(mode, bytes.clone());
    let line = frame
        .strip_suffix(b"\n")
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let text = |line: &[u8]| {
        str::from_utf8(line)
            .ok()
            .filter(|line| !line.contains('\0'))
            .map(str::to_owned)
    };

    assert_eq!(job(Mode::Shell), Ok(Job::Shell(bytes.clone())));
    // Nothing is lost: it is a command without its line end, or input as it came.
    match job(Mode::Auto).unwrap() {
        Job::Command(command) => {
            assert_eq!(Some(command.as_bytes()), line);
            assert!(!command.contains('\0') && !command.trim_ascii().is_empty());
            assert_eq!(job(Mode::Command), Ok(Job::Command(command)));
        }
        Job::Shell(input) => {
            assert_eq!(input, bytes);
            let command = line.and_then(text);
            assert!(command.is_none_or(|command| command.trim_ascii().is_empty()));
        }
    }
    match job(Mode::Command) {
        Ok(Job::Command(command)) => assert_eq!(command.as_bytes(), line.unwrap_or(frame)),
        Ok(Job::Shell(_)) => panic!("a shell was not asked for"),
        Err(_) => assert_eq!(text(line.unwrap_or(frame)), None),
    }
}
