//! The standard input of a command.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::Sandboxd;

#[test]
fn text_bytes_and_nothing() {
    let sandboxd = Sandboxd::start();
    let output = sandboxd.exec(&json!({"argv": ["cat"], "stdin": "text é\n"}));
    assert_eq!(output.text(), "text é\n");
    let bytes: Vec<u8> = (0..=255).collect();
    let output = sandboxd.exec(&json!({"argv": ["cat"], "stdin": {"base64": STANDARD.encode(&bytes)}}));
    assert_eq!(output.stdout(), bytes);
    for stdin in [json!(null), json!(""), json!({"base64": ""})] {
        let output = sandboxd.exec(&json!({"argv": ["cat"], "stdin": stdin}));
        assert_eq!((output.code(), output.events.len()), (0, 0));
        // Programs like `rg` read a pipe instead of the files around them, also an empty one.
        let output = sandboxd.exec(&json!({"argv": ["readlink", "/proc/self/fd/0"], "stdin": stdin}));
        assert_eq!(output.text(), "/dev/null\n", "{stdin}");
    }
}

#[test]
fn more_than_a_pipe_holds() {
    let sandboxd = Sandboxd::start();
    let input = "0123456789abcde\n".repeat(512 * 1024);
    let output = sandboxd.exec(&json!({"argv": ["cat"], "stdin": input}));
    assert!(output.text() == input);
}

#[test]
fn a_command_that_does_not_read_it_ends_well() {
    let sandboxd = Sandboxd::start();
    let input = "x".repeat(4 << 20);
    let output = sandboxd.exec(&json!({"argv": ["head", "-c", "5"], "stdin": input}));
    assert_eq!((output.text().as_str(), output.code()), ("xxxxx", 0));
    assert_eq!(
        sandboxd.exec(&json!({"argv": ["true"], "stdin": input})).code(),
        0
    );
}
