//! Terminals: the programs they run, and their output.

use sandbox_protocol::pty::ServerMessage;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Sandboxd, Terminal};

#[test]
fn a_line_of_a_program_is_run_as_a_command() {
    let sandboxd = Sandboxd::start();
    let finished = Terminal::run(&sandboxd, "echo hello; tty >/dev/null && exit 3").finish();
    assert_eq!((finished.text().as_str(), finished.code()), ("hello\n", 3));
    let json = r#"{"type":"exit","code":3}"#;
    assert_eq!(finished.last.unwrap().to_json(), json);
}

#[test]
fn a_command_may_have_lines_inside() {
    let sandboxd = Sandboxd::start();
    let finished = Terminal::run(&sandboxd, "printf '%s.' 'a\nb' \"c  d\" é; cat <<'END'\n$x\nEND").finish();
    assert_eq!(
        (finished.text().as_str(), finished.code()),
        ("a\nb.c  d.é.$x\n", 0)
    );
}

#[test]
fn output_of_a_command_is_exact() {
    let sandboxd = Sandboxd::start();
    let every_byte: Vec<u8> = (0..=255).collect();
    std::fs::write(sandboxd.workspace.path().join("bytes"), &every_byte).unwrap();
    let finished = Terminal::run(&sandboxd, "cat bytes bytes").finish();
    assert_eq!(finished.code(), 0);
    assert_eq!(finished.output, [every_byte.clone(), every_byte].concat());
}

#[test]
fn further_input_goes_to_the_command() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::run(&sandboxd, "read -r a; echo \"<$a>\"; cat");
    terminal.send("first\r");
    assert_eq!(terminal.wait_for("<first>\n"), "<first>\n");
    terminal.send("second\n");
    assert_eq!(terminal.wait_for("second\n"), "second\n", "nothing is echoed");
    terminal.send("\x04");
    assert_eq!(terminal.finish().code(), 0);
}

#[test]
fn ctrl_c_interrupts_a_command() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::run(&sandboxd, "echo started; exec sleep 600");
    terminal.wait_for("started");
    terminal.send("\x03");
    let finished = terminal.finish();
    assert_eq!(finished.code(), 130);
    let json = r#"{"type":"exit","code":130,"signal":"SIGINT"}"#;
    assert_eq!(finished.last.unwrap().to_json(), json);
}

#[test]
fn a_command_has_a_program_at_the_other_end() {
    let sandboxd = Sandboxd::start();
    let setup = "git init -q repository && cd repository && git config user.name n && git config user.email e \
                 && for n in $(seq 80); do git commit -q --allow-empty -m \"commit $n\"; done";
    assert_eq!(sandboxd.run_in("s", &["bash", "-c", setup]), (String::new(), 0));
    let variables = "echo $TERM $PAGER $GIT_PAGER $MANPAGER $SYSTEMD_PAGER";
    for query in ["", "session=s"] {
        let mut terminal = Terminal::open(&sandboxd, query);
        terminal.send("[ -d .git ] || cd repository; git log\n");
        let finished = terminal.finish();
        assert_eq!(finished.code(), 0, "{}", finished.text());
        assert_eq!(
            finished.text().matches("\ncommit ").count(),
            79,
            "{}",
            finished.text()
        );
        assert!(
            !finished.output.contains(&0x1b),
            "no escapes: {}",
            finished.text()
        );
        let mut terminal = Terminal::open(&sandboxd, query);
        terminal.send(format!("{variables}\n"));
        assert_eq!(terminal.finish().text(), "dumb cat cat cat cat\n");
    }
    // Variables of the session stand; those of the terminal are not kept.
    assert_eq!(
        sandboxd
            .run_in(
                "s",
                &["bash", "-c", "export PAGER=more TERM=vt100; MANPAGER=less"]
            )
            .1,
        0
    );
    let mut terminal = Terminal::open(&sandboxd, "session=s");
    terminal.send(format!("{variables}\n"));
    assert_eq!(terminal.finish().text(), "vt100 more cat less cat\n");
    assert_eq!(
        sandboxd.run_in("s", &["bash", "-c", "echo ${GIT_PAGER-none}"]).0,
        "none\n"
    );
}

#[test]
fn a_key_gets_a_login_shell() {
    // Nothing of this machine's own profile.
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("HOME", "/nonexistent");
    });
    let mut terminal = Terminal::open(&sandboxd, "");
    terminal.send("shopt login_shell; echo \"$- $TERM $((6*7)) end\"\r");
    let text = terminal.wait_for(" 42 end\r\n");
    assert!(text.contains("login_shell") && text.contains("on\r\n"), "{text}");
    assert!(text.contains('i') && text.contains("xterm-256color"), "{text}");
    assert_eq!(
        text.matches("shopt login_shell").count(),
        1,
        "echoed once: {text}"
    );
    terminal.send("sleep 600 & jobs | wc -l\r");
    terminal.wait_for("\r\n1\r\n");
    terminal.send("exit 7\r");
    assert_eq!(terminal.finish().code(), 7);
}

#[test]
fn a_shell_that_is_asked_for_comes_at_once_and_takes_lines_as_input() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::open(&sandboxd, "mode=shell&shell=sh");
    let prompt = terminal.frame();
    assert!(matches!(prompt, Message::Binary(_)), "{prompt:?}");
    terminal.send("echo $0 $((6*7))\nexit 4\n");
    let finished = terminal.finish();
    assert!(finished.text().contains("-sh 42\r\n"), "{}", finished.text());
    assert_eq!(finished.code(), 4);
}

#[test]
fn a_command_that_is_asked_for_needs_no_line_end() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::open(&sandboxd, "mode=command");
    terminal.send("echo it");
    let finished = terminal.finish();
    assert_eq!((finished.text().as_str(), finished.code()), ("it\n", 0));
    let mut terminal = Terminal::open(&sandboxd, "mode=command&shell=python3");
    terminal.send("import sys; print(sys.stdin.isatty()); sys.exit(9)\n");
    let finished = terminal.finish();
    assert_eq!((finished.text().as_str(), finished.code()), ("True\n", 9));
}

#[test]
fn a_shell_that_is_missing_is_an_error_and_never_ready() {
    let sandboxd = Sandboxd::start();
    for query in [
        "shell=no-such-shell",
        "shell=/no/shell&mode=shell",
        "shell=cd&session=s",
    ] {
        let finished = Terminal::connect(&sandboxd, query).finish();
        let message = finished.error();
        assert!(
            message.contains("not found") || message.contains("No such file"),
            "{query}: {message}"
        );
        assert!(finished.output.is_empty());
    }
}

#[test]
fn the_window_has_its_size_and_programs_hear_of_another() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::open(&sandboxd, "cols=123&rows=45");
    terminal.send("stty size; trap 'stty size' WINCH; echo trapped; while sleep 0.01; do :; done\n");
    assert_eq!(terminal.wait_for("trapped\n"), "45 123\ntrapped\n");
    terminal.resize(1000, 1);
    assert_eq!(terminal.wait_for("\n"), "1 1000\n");
    drop(terminal);
    let mut terminal = Terminal::open(&sandboxd, "cols=123&rows=45");
    terminal.resize(60, 20);
    terminal.send("stty size\n");
    assert_eq!(terminal.finish().text(), "20 60\n");
}

#[test]
fn a_bad_text_frame_is_answered_and_the_terminal_goes_on() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::run(&sandboxd, "cat");
    for bad in ["", "x", "{}", r#"{"type":"resize","cols":0,"rows":1}"#] {
        terminal.send_text(bad);
        assert!(matches!(terminal.message(), ServerMessage::Error { .. }), "{bad}");
    }
    terminal.send("");
    terminal.send("still here\n\x04");
    let finished = terminal.finish();
    assert_eq!((finished.text().as_str(), finished.code()), ("still here\n", 0));
}

#[test]
fn a_message_that_is_too_large_ends_the_connection() {
    let sandboxd = Sandboxd::start();
    for text in [false, true] {
        let mut terminal = Terminal::run(&sandboxd, "echo started; cat");
        terminal.wait_for("started\n");
        let large = "x".repeat((1 << 20) + 1);
        let frame = if text {
            Message::text(large)
        } else {
            Message::binary(large)
        };
        // The server may have closed before it is sent completely.
        let _ = terminal.socket.send(frame);
        let finished = terminal.finish();
        assert_eq!(finished.close, Some(1009));
        assert!(finished.error().contains("1048576"));
    }
}

#[test]
fn the_exit_comes_after_all_output() {
    let sandboxd = Sandboxd::start();
    let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    for _ in 0..10 {
        let finished = Terminal::run(&sandboxd, "seq 20000; kill -9 $$").finish();
        assert_eq!(finished.code(), 137);
        assert!(finished.text() == numbers, "{} bytes", finished.output.len());
    }
}

#[test]
fn bad_requests_are_told_before_the_upgrade() {
    let sandboxd = Sandboxd::start();
    let (head, body) = sandboxd.request("GET", "/pty");
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert!(body.contains("WebSocket upgrade required"), "{body}");
    for (query, word) in [
        ("cols=0", "cols and rows"),
        ("mode=x", "mode"),
        ("session=..", "session"),
    ] {
        let request = format!(
            "GET /pty?{query} HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        let (head, body) = sandboxd.raw_request(request.as_bytes());
        assert!(head.starts_with("http/1.1 400"), "{head}");
        assert!(body.contains(word), "{query}: {body}");
    }
}
