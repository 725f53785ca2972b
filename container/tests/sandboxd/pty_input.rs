//! Lines of input of any length.

use crate::support::{Sandboxd, Terminal};

/// Longer than the kernel's line buffer.
const LENGTHS: [usize; 4] = [4095, 4096, 5000, 100_000];

#[test]
fn a_long_line_arrives_whole() {
    let sandboxd = Sandboxd::start();
    for length in LENGTHS {
        let mut terminal = Terminal::run(
            &sandboxd,
            "python3 -c 'import sys; print(len(sys.stdin.readline()))'",
        );
        terminal.send("é".repeat(length / 2) + &"x".repeat(length % 2));
        terminal.send("\n");
        let characters = length / 2 + length % 2 + 1;
        assert_eq!(terminal.finish().text(), format!("{characters}\n"));
    }
}

#[test]
fn a_long_line_is_exact_whoever_reads_it() {
    let sandboxd = Sandboxd::start();
    let text: String = (0..20_000).map(|n| format!("{n} ")).collect();
    for reader in [
        "head -n 1",
        "read -r line; printf '%s\\n' \"$line\"",
        "dd bs=1000 count=200 2>/dev/null",
    ] {
        let mut terminal = Terminal::run(&sandboxd, reader);
        // In pieces, none of which is too long on its own.
        for piece in text.as_bytes().chunks(1500) {
            terminal.send(piece);
        }
        terminal.send("end\n\x04");
        let finished = terminal.finish();
        assert!(
            finished.text() == format!("{text}end\n"),
            "{reader}: {} bytes",
            finished.output.len()
        );
        assert_eq!(finished.code(), 0);
    }
}

/// Ctrl-V quotes the next character, which then does not end the line.
#[test]
fn a_long_line_with_quoted_characters_arrives_whole() {
    let sandboxd = Sandboxd::start();
    let script =
        "import sys; line = sys.stdin.buffer.readline(); print(len(line), line.count(4), line.count(22))";
    let mut terminal = Terminal::run(&sandboxd, &format!("python3 -c '{script}'"));
    let piece = "x".repeat(3000);
    // Quoted are Ctrl-D, twice, and Ctrl-V.
    terminal.send(format!("{piece}\x16\x04{piece}\x16\x16{piece}\x16\x04{piece}\n"));
    assert_eq!(terminal.finish().text(), "12004 2 1\n");
}

#[test]
fn a_long_line_before_the_end_of_file_is_not_the_end_of_file() {
    let sandboxd = Sandboxd::start();
    for length in [3800, 3801, 4000] {
        let mut terminal = Terminal::run(&sandboxd, "cat; echo ended");
        terminal.send("x".repeat(length));
        // The first makes the line available, the second ends the file.
        terminal.send("\x04");
        assert_eq!(terminal.wait_for("x"), "x");
        terminal.send("y\n\x04");
        let finished = terminal.finish();
        let expected = format!("{}y\nended\n", "x".repeat(length - 1));
        assert!(
            finished.text() == expected,
            "{length}: {} bytes",
            finished.output.len()
        );
    }
}

#[test]
fn programs_that_read_keys_get_nothing_else() {
    let sandboxd = Sandboxd::start();
    let script = "stty raw; echo ready; head -c 10000 | tr -d x | od -An -c; stty cooked -opost; read -r line; echo ${#line}";
    let mut terminal = Terminal::run(&sandboxd, script);
    terminal.wait_for("ready\n");
    terminal.send("x".repeat(9999));
    terminal.send("y");
    assert_eq!(terminal.wait_for("\n"), "   y\n");
    terminal.send("short\n");
    assert_eq!(terminal.finish().text(), "5\n");
}

#[test]
fn a_long_line_can_be_typed_into_a_shell() {
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("HOME", "/nonexistent");
    });
    let mut terminal = Terminal::open(&sandboxd, "mode=shell&shell=bash");
    let line = format!("v={}; echo length ${{#v}} end\r", "x".repeat(6000));
    terminal.send(line);
    terminal.wait_for("length 6000 end\r\n");
}
