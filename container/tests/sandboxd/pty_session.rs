//! Terminals of sessions: clients that come back, and the output that they get again.

use std::thread;
use std::time::Duration;

use sandbox_protocol::pty::{MAX_REPLAY, ServerMessage};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Sandboxd, Terminal, eventually, sleeping, unique_sleep};

/// Runs a script of the session `s`, as an exec does.
fn exec(sandboxd: &Sandboxd, script: &str) -> String {
    sandboxd.run_in("s", &["bash", "-c", script]).0
}

/// Reconnects to the terminal of the session `s`; its output begins with the replay.
fn come_back(sandboxd: &Sandboxd, query: &str) -> Terminal {
    Terminal::open(sandboxd, &format!("session=s&{query}"))
}

#[test]
fn a_client_that_comes_back_finds_the_same_terminal() {
    let sandboxd = Sandboxd::start();
    let mut terminal = come_back(&sandboxd, "mode=shell&shell=sh");
    terminal.send("mark=$((6*7)); echo \"mark $mark\"\r");
    terminal.wait_for("mark 42\r\n");
    drop(terminal);
    eventually("it is detached", || sandboxd.activity().requests == 0);
    assert_eq!(sandboxd.activity().commands, 1);
    // The mode is ignored by now; the size is not.
    let mut terminal = come_back(&sandboxd, "mode=command&cols=99&rows=11");
    terminal.wait_for("mark 42\r\n");
    terminal.send("echo again $mark; stty size\r");
    terminal.wait_for("again 42\r\n");
    terminal.wait_for("11 99\r\n");
    terminal.send("exit 6\r");
    assert_eq!(terminal.finish().code(), 6);
    let mut terminal = come_back(&sandboxd, "");
    terminal.send("echo ${mark-a new one}\n");
    assert_eq!(terminal.finish().text(), "a new one\n");
}

#[test]
fn the_last_256_kib_are_replayed_after_ready() {
    let sandboxd = Sandboxd::start();
    let mut terminal = come_back(&sandboxd, "");
    terminal.send("seq 100000; touch written; read -r line\n");
    terminal.wait_for("1\n");
    drop(terminal);
    let written = sandboxd.workspace.path().join("written");
    eventually("the program is not held", || written.exists());
    let numbers: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    let expected = &numbers.as_bytes()[numbers.len() - MAX_REPLAY..];
    for _ in 0..2 {
        let mut terminal = come_back(&sandboxd, "");
        assert!(matches!(terminal.frame(), Message::Binary(bytes) if bytes == expected));
    }
    let mut terminal = come_back(&sandboxd, "");
    terminal.send("\r");
    let finished = terminal.finish();
    assert_eq!((finished.code(), finished.output.len()), (0, MAX_REPLAY));
}

#[test]
fn a_program_that_ended_meanwhile_keeps_its_exit() {
    let sandboxd = Sandboxd::start();
    let mut terminal = come_back(&sandboxd, "");
    terminal.send("echo started; sleep 0.5; echo over; exit 9\n");
    terminal.wait_for("started\n");
    drop(terminal);
    eventually("it ended", || !sandboxd.activity().is_busy());
    let finished = come_back(&sandboxd, "").finish();
    assert_eq!(
        (finished.text().as_str(), finished.code()),
        ("started\nover\n", 9)
    );
}

#[test]
fn what_was_sent_before_leaving_is_input() {
    let sandboxd = Sandboxd::start();
    let mut terminal = come_back(&sandboxd, "mode=command");
    terminal.send("read -r line; echo $line >line");
    terminal.send("sent\n");
    drop(terminal);
    let line = sandboxd.workspace.path().join("line");
    eventually("it arrived", || {
        std::fs::read_to_string(&line).is_ok_and(|line| line == "sent\n")
    });
}

#[test]
fn the_newest_client_has_the_terminal() {
    let sandboxd = Sandboxd::start();
    let mut first = come_back(&sandboxd, "");
    first.send("echo started; cat\n");
    first.wait_for("started\n");
    let mut second = come_back(&sandboxd, "");
    assert!(first.finish().error().contains("another client"));
    second.wait_for("started\n");
    second.send("mine\n");
    second.wait_for("mine\n");
}

#[test]
fn many_clients_at_once_meet_in_one_terminal() {
    let sandboxd = Sandboxd::start();
    let mut first = come_back(&sandboxd, "");
    first.send("echo started; cat\n");
    first.wait_for("started\n");
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let message = Terminal::connect(&sandboxd, "session=s").message();
                assert!(matches!(
                    message,
                    ServerMessage::Ready | ServerMessage::Error { .. }
                ));
            });
        }
    });
    assert_eq!(sandboxd.activity().commands, 1);
    come_back(&sandboxd, "").wait_for("started\n");
}

#[test]
fn a_terminal_starts_from_its_session() {
    let sandboxd = Sandboxd::start();
    std::fs::create_dir(sandboxd.workspace.path().join("sub")).unwrap();
    exec(&sandboxd, "cd sub; export A=b; f() { echo \"f $1\"; }");
    let mut terminal = come_back(&sandboxd, "");
    terminal.send("echo \"${PWD##*/} $A $TERM\"; f x\n");
    let finished = terminal.finish();
    assert_eq!(finished.text(), "sub b dumb\nf x\n");
    let mut terminal = come_back(&sandboxd, "mode=shell");
    terminal.send("echo \"<${PWD##*/} $A>\"; f y\r");
    terminal.wait_for("<sub b>\r\n");
    terminal.wait_for("f y\r\n");
}

#[test]
fn a_session_keeps_what_its_terminal_did() {
    let sandboxd = Sandboxd::start();
    let mut terminal = come_back(&sandboxd, "");
    terminal.send("export A=command; mkdir sub; cd sub\n");
    assert_eq!(terminal.finish().code(), 0);
    assert_eq!(exec(&sandboxd, "echo $A ${PWD##*/}"), "command sub\n");
    let mut terminal = come_back(&sandboxd, "mode=shell");
    terminal.send("export A=shell\rexit\r");
    assert_eq!(terminal.finish().code(), 0);
    assert_eq!(exec(&sandboxd, "echo $A"), "shell\n");
}

#[test]
fn a_terminal_does_not_wait_for_commands_of_its_session() {
    let sandboxd = Sandboxd::start();
    let mut stream = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", "echo started; sleep 600"]}));
    stream.wait_for("started");
    let mut terminal = come_back(&sandboxd, "");
    terminal.send("echo here\n");
    assert_eq!(terminal.finish().text(), "here\n");
}

#[test]
fn a_deleted_session_ends_its_terminal_and_no_other() {
    let sandboxd = Sandboxd::start();
    let [own, other] = [unique_sleep(), unique_sleep()];
    let mut terminal = come_back(&sandboxd, "");
    terminal.send(format!("echo started; sleep {own}\n"));
    terminal.wait_for("started\n");
    let mut another = Terminal::open(&sandboxd, "session=another");
    another.send(format!("echo started; sleep {other}\n"));
    another.wait_for("started\n");
    assert_eq!(sandboxd.delete_session("s").0, 200);
    // A new session of that name has another terminal.
    let mut terminal_of_new = come_back(&sandboxd, "");
    terminal_of_new.send("echo new\n");
    assert_eq!(terminal_of_new.finish().text(), "new\n");
    assert!(terminal.finish().error().contains("deleted"));
    eventually("it is gone", || sleeping(&own).is_empty());
    thread::sleep(Duration::from_millis(200));
    assert_eq!(sleeping(&other).len(), 1);
}

#[test]
fn nobody_comes_back() {
    let linger = Duration::from_secs(3);
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("SANDBOX_TERMINAL_LINGER_MS", linger.as_millis().to_string());
    });
    let duration = unique_sleep();
    let mut terminal = come_back(&sandboxd, "");
    terminal.send(format!(
        "trap 'echo >hung-up' HUP; echo started; sleep {duration}\n"
    ));
    terminal.wait_for("started\n");
    drop(terminal);
    thread::sleep(linger - Duration::from_secs(1));
    assert_eq!(sleeping(&duration).len(), 1, "it waits for {linger:?}");
    eventually("it is gone", || sleeping(&duration).is_empty());
    let told = sandboxd.workspace.path().join("hung-up");
    eventually("its shell was told", || told.exists());
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}
