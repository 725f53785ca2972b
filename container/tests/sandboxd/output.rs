//! The output of a command arrives byte for byte.

use std::fs;
use std::time::Duration;

use sandbox_protocol::event::MAX_OUTPUT;
use serde_json::json;

use crate::support::Sandboxd;

#[test]
fn a_command_streams_and_exits() {
    let sandboxd = Sandboxd::start();
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", "echo out; echo err >&2; exit 7"]}));
    assert_eq!(
        (output.text().as_str(), output.stderr().as_str(), output.code()),
        ("out\n", "err\n", 7)
    );
    for header in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-cache\r\n",
        "sandbox-boot-id: ",
    ] {
        assert!(output.head.contains(header), "{}", output.head);
    }
}

#[test]
fn every_byte_is_exact() {
    let sandboxd = Sandboxd::start();
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_003).collect();
    fs::write(sandboxd.workspace.path().join("bytes"), &bytes).unwrap();
    let output = sandboxd.exec(&json!({"argv": ["cat", "bytes"]}));
    assert!(output.stdout() == bytes);
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", "cat bytes >&2"]}));
    let stderr: Vec<u8> = output.events.iter().flat_map(|event| event.bytes()).collect();
    assert!(stderr == bytes);
}

#[test]
fn much_output_is_complete() {
    let sandboxd = Sandboxd::start();
    let size = 128 << 20;
    let output = sandboxd.exec(&json!({"argv": ["head", "-c", size.to_string(), "/dev/zero"]}));
    assert!(
        output
            .events
            .iter()
            .all(|event| event.data.len() <= MAX_OUTPUT / 3 * 4)
    );
    let bytes: usize = output.events.iter().map(|event| event.bytes().len()).sum();
    assert_eq!((bytes, output.code()), (size, 0));
}

#[test]
fn text_is_cut_between_characters() {
    let sandboxd = Sandboxd::start();
    for shift in 0..4 {
        let text = "x".repeat(shift) + &"🦀é日".repeat(60_000);
        fs::write(sandboxd.workspace.path().join("text"), &text).unwrap();
        let output = sandboxd.exec(&json!({"argv": ["cat", "text"]}));
        assert!(output.events.len() > 1);
        for event in &output.events {
            assert!(
                String::from_utf8(event.bytes()).is_ok(),
                "an event splits a character"
            );
        }
        assert!(output.text() == text);
    }
}

#[test]
fn a_character_that_comes_in_two_writes_stays_whole() {
    let sandboxd = Sandboxd::start();
    // The pause is shorter than the 50 ms that the beginning of a character waits, even on a busy
    // machine; where it is not, the test below shows what happens.
    let script = r"printf 'a\303'; printf '\251b'";
    let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script]}));
    assert_eq!(output.text(), "aéb");
    assert!(
        output
            .events
            .iter()
            .all(|event| String::from_utf8(event.bytes()).is_ok())
    );
}

#[test]
fn half_a_character_is_not_held_back() {
    let sandboxd = Sandboxd::start();
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", r"printf 'a\342\202'; exec sleep 60"]}));
    assert_eq!(stream.next().unwrap().bytes(), b"a");
    assert_eq!(stream.next().unwrap().bytes(), b"\xe2\x82");
    let output = sandboxd.exec(&json!({"argv": ["printf", r"a\342\202"]}));
    assert_eq!(output.stdout(), b"a\xe2\x82");
}

#[test]
fn a_silent_command_is_heard_of() {
    let sandboxd = Sandboxd::start();
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", "echo; exec sleep 12"]}));
    assert_eq!(stream.next().unwrap().kind, "stdout");
    for _ in 0..2 {
        let silent_since = std::time::Instant::now();
        let comment = stream.next().unwrap();
        assert_eq!((comment.id, comment.kind.as_str()), (None, ""));
        assert!(silent_since.elapsed() > Duration::from_secs(1));
    }
    assert_eq!(stream.rest().code(), 0);
}

#[test]
fn many_commands_at_once() {
    let sandboxd = Sandboxd::start();
    std::thread::scope(|scope| {
        for number in 0..32 {
            let sandboxd = &sandboxd;
            scope.spawn(move || {
                let script = format!("head -c 300000 /dev/zero; sleep 0.2; echo {number}; exit {number}");
                let output = sandboxd.exec(&json!({"argv": ["sh", "-c", script]}));
                assert_eq!(
                    (output.stdout().len(), output.code()),
                    (300_001 + number.to_string().len(), number)
                );
            });
        }
    });
    assert!(!sandboxd.activity().is_busy());
}
