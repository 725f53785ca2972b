//! Terminals whose client left, and the end of any terminal, which leaves nothing.

use std::thread;
use std::time::Duration;

use sandbox_protocol::pty::ServerMessage;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Sandboxd, Terminal, eventually, sleeping, unique_sleep};

#[test]
fn a_client_that_leaves_hangs_up() {
    let sandboxd = Sandboxd::start();
    let [own, daemon] = [unique_sleep(), unique_sleep()];
    let mut terminal = Terminal::run(
        &sandboxd,
        &format!(
            "trap 'echo >hung-up; exit' HUP; (setsid nohup sleep {daemon} >/dev/null 2>&1 &); echo started; sleep {own} & wait"
        ),
    );
    terminal.wait_for("started");
    eventually("both run", || sleeping(&own).len() + sleeping(&daemon).len() == 2);
    drop(terminal);
    let hung_up = sandboxd.workspace.path().join("hung-up");
    eventually("the program heard of it", || hung_up.exists());
    eventually("both are gone", || {
        sleeping(&own).is_empty() && sleeping(&daemon).is_empty()
    });
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
    eventually("every process is collected", || sandboxd.zombies() == 0);
}

#[test]
fn a_close_hangs_up_too() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let mut terminal = Terminal::run(&sandboxd, &format!("echo started; exec sleep {duration}"));
    terminal.wait_for("started");
    terminal.socket.close(None).unwrap();
    let finished = terminal.finish();
    assert_eq!(finished.last, None, "no invented exit");
    eventually("it is gone", || sleeping(&duration).is_empty());
}

#[test]
fn one_that_leaves_a_shell_with_jobs() {
    let sandboxd = Sandboxd::start();
    let [background, stopped, foreground] = [unique_sleep(), unique_sleep(), unique_sleep()];
    let mut terminal = Terminal::open(&sandboxd, "mode=shell");
    terminal.send(format!(
        "(trap '' HUP TERM; sleep {background}) &\rsleep {stopped}\r"
    ));
    eventually("two run", || {
        sleeping(&background).len() + sleeping(&stopped).len() == 2
    });
    terminal.send("\x1a");
    terminal.wait_for("Stopped");
    terminal.send(format!("sleep {foreground}\r"));
    eventually("three run", || sleeping(&foreground).len() == 1);
    drop(terminal);
    for sleep in [background, stopped, foreground] {
        eventually("it is gone", || sleeping(&sleep).is_empty());
    }
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn one_that_leaves_in_the_middle_of_output_that_it_did_not_read() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let mut terminal = Terminal::run(&sandboxd, &format!("sleep {duration} & exec yes"));
    terminal.wait_for("y\n");
    thread::sleep(Duration::from_secs(1));
    drop(terminal);
    eventually("it is gone", || sleeping(&duration).is_empty());
}

#[test]
fn a_client_that_leaves_before_its_first_frame() {
    let sandboxd = Sandboxd::start();
    let terminal = Terminal::open(&sandboxd, "");
    assert_eq!(sandboxd.activity().requests, 1, "it is attached");
    drop(terminal);
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn what_a_program_leaves_in_the_background_lives_on_and_holds_nothing_up() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let line = format!(
        "(trap '' HUP; exec sleep {duration}) & while ! pgrep -f '^sleep {duration}'; do :; done; exit 5"
    );
    let finished = Terminal::run(&sandboxd, &line).finish();
    assert_eq!(finished.code(), 5);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(sleeping(&duration).len(), 1);
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn an_attached_terminal_keeps_the_sandbox_awake() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::run(&sandboxd, "echo started; read -r line");
    terminal.wait_for("started");
    let activity = sandboxd.activity();
    assert_eq!((activity.commands, activity.requests), (1, 1));
    terminal.send("\n");
    assert_eq!(terminal.finish().code(), 0);
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn a_silent_client_is_pinged_within_five_seconds() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::open(&sandboxd, "");
    let opened = std::time::Instant::now();
    let frame = terminal.socket.read().unwrap();
    assert!(matches!(frame, Message::Ping(_)), "{frame:?}");
    assert!(
        opened.elapsed() < Duration::from_secs(6),
        "{:?}",
        opened.elapsed()
    );
}

#[test]
fn each_of_many_terminals_is_its_own() {
    let sandboxd = Sandboxd::start();
    let before = sandboxd.descriptors();
    let mut terminals: Vec<_> = (0..64)
        .map(|n| Terminal::run(&sandboxd, &format!("n={n}; read -r line; echo $n $line; exit $n")))
        .collect();
    for (n, terminal) in terminals.iter_mut().enumerate().rev() {
        terminal.send(format!("line {n}\n"));
    }
    for (n, terminal) in terminals.into_iter().enumerate() {
        let finished = terminal.finish();
        assert_eq!(finished.text(), format!("{n} line {n}\n"));
        assert_eq!(finished.code(), n as i32);
    }
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
    eventually("no descriptor is left", || sandboxd.descriptors() <= before + 1);
    eventually("every process is collected", || sandboxd.zombies() == 0);
}

#[test]
fn there_is_a_last_terminal() {
    let sandboxd = Sandboxd::start();
    let terminals: Vec<_> = (0..128).map(|_| Terminal::open(&sandboxd, "")).collect();
    let finished = Terminal::connect(&sandboxd, "").finish();
    assert!(
        finished
            .error()
            .contains("the limit is 128 (SANDBOX_MAX_TERMINALS)"),
        "{}",
        finished.error()
    );
    drop(terminals);
    eventually("there is capacity again", || {
        Terminal::connect(&sandboxd, "").message() == ServerMessage::Ready
    });
}

#[test]
fn the_end_of_sandboxd_is_no_exit() {
    let mut sandboxd = Sandboxd::start();
    let mut terminal = Terminal::run(&sandboxd, "echo started; sleep 600");
    terminal.wait_for("started");
    sandboxd.process.kill().unwrap();
    sandboxd.process.wait().unwrap();
    let finished = terminal.finish();
    assert_eq!((finished.last, finished.close), (None, None));
}

#[test]
fn a_shutdown_tells_the_clients() {
    let mut sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let mut command = Terminal::run(&sandboxd, &format!("echo started; exec sleep {duration}"));
    command.wait_for("started");
    let mut shell = Terminal::open(&sandboxd, "mode=shell");
    shell.send("echo $((6*7))\r");
    shell.wait_for("42\r\n");
    let waiting = Terminal::open(&sandboxd, "");
    sandboxd.signal("TERM");
    for terminal in [command, shell] {
        let finished = terminal.finish();
        assert!(matches!(finished.code(), 129 | 143), "{:?}", finished.last);
    }
    assert!(waiting.finish().error().contains("shutting down"));
    assert!(sandboxd.process.wait().unwrap().success());
    assert!(sleeping(&duration).is_empty());
}
