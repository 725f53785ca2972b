//! Flow control, both ways.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::support::{Sandboxd, Terminal, eventually};

/// The bound for the memory of `sandboxd` in these tests, in KiB.
const LIMIT: u64 = 40 * 1024;

#[test]
fn a_client_that_does_not_read_makes_the_program_wait() {
    let sandboxd = Sandboxd::start();
    let written = sandboxd.workspace.path().join("written");
    let line = "i=0; while head -c 10000 /dev/zero; do i=$((i+1)); echo $i >written; done";
    let mut terminal = Terminal::run(&sandboxd, line);
    let pieces = || fs::read_to_string(&written).unwrap_or_default();
    let mut last = String::new();
    eventually("it waits", || {
        thread::sleep(Duration::from_millis(500));
        std::mem::replace(&mut last, pieces()) == last && !last.is_empty()
    });
    assert!(sandboxd.resident_kib() < LIMIT, "{} KiB", sandboxd.resident_kib());
    eventually("it goes on", || {
        terminal.frame();
        pieces() != last
    });
}

#[test]
fn many_that_do_not_read() {
    let sandboxd = Sandboxd::start();
    let terminals: Vec<_> = (0..16).map(|_| Terminal::run(&sandboxd, "yes")).collect();
    thread::sleep(Duration::from_secs(2));
    assert!(sandboxd.resident_kib() < LIMIT, "{} KiB", sandboxd.resident_kib());
    drop(terminals);
    eventually("all are gone", || !sandboxd.activity().is_busy());
}

#[test]
fn a_client_that_pings_and_does_not_read() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::open(&sandboxd, "");
    // A masked ping with as many bytes as it may have.
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
    let pings = ping.repeat(1000);
    let mut connection = terminal.socket.get_ref().try_clone().unwrap();
    connection
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut written = 0;
    while let Ok(n) = connection.write(&pings[written % ping.len()..]) {
        written += n;
        assert!(sandboxd.resident_kib() < LIMIT, "{} KiB", sandboxd.resident_kib());
        assert!(written < 400_000_000, "all of it was taken");
    }
    // The rest of the last ping goes when the pongs are read, and all is well.
    connection.set_write_timeout(None).unwrap();
    let rest = ping[written % ping.len()..].to_vec();
    let writing = thread::spawn(move || connection.write_all(&rest).unwrap());
    let message = terminal.socket.read().unwrap();
    assert!(message.is_pong(), "{message:?}");
    while !writing.is_finished() {
        terminal.socket.read().unwrap();
    }
    terminal.send("echo we'll'\r");
    terminal.wait_for("well");
}

#[test]
fn a_program_that_does_not_read_makes_the_client_wait() {
    let sandboxd = Sandboxd::start();
    let line = "echo started; while [ ! -e go ]; do sleep 0.1; done; wc -c; echo counted";
    let mut terminal = Terminal::run(&sandboxd, line);
    terminal.wait_for("started\n");
    let connection = terminal.socket.get_ref().try_clone().unwrap();
    connection
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    // Whole lines: of one that is too long, a terminal forgets the end.
    let frame = "0123456789abcdef\n".repeat(1000);
    let mut sent = 0;
    let is_held = (0..100_000_000 / frame.len()).any(|_| {
        let held = terminal.socket.send(Message::binary(frame.clone())).is_err();
        sent += usize::from(!held);
        held
    });
    assert!(is_held, "all of it was taken");
    assert!(sandboxd.resident_kib() < LIMIT, "{} KiB", sandboxd.resident_kib());
    // It arrives as a whole when it is read: what was held, and what is sent now.
    fs::write(sandboxd.workspace.path().join("go"), "").unwrap();
    connection.set_write_timeout(None).unwrap();
    eventually("the rest is sent", || terminal.socket.flush().is_ok());
    sent += 1;
    terminal.send("\x04");
    let finished = terminal.finish();
    assert_eq!(finished.text(), format!("{}\ncounted\n", sent * frame.len()));
    assert_eq!(finished.code(), 0);
}

#[test]
fn a_client_that_is_held_and_gone_hangs_up() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::run(&sandboxd, "echo started; sleep 600");
    terminal.wait_for("started\n");
    let connection = terminal.socket.get_ref().try_clone().unwrap();
    connection
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let line = "x".repeat(79) + "\n";
    while terminal.socket.send(Message::binary(line.repeat(1000))).is_ok() {}
    drop((terminal, connection));
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn resizes_do_not_starve_the_output_and_leave_nothing_behind() {
    let sandboxd = Sandboxd::start();
    let line =
        "trap : WINCH; while [ ! -e stop ]; do echo tick; done; read -r line; echo \"$line\"; stty size";
    let mut terminal = Terminal::run(&sandboxd, line);
    for n in 0..10_000 {
        let text = format!(
            r#"{{"type":"resize","cols":{},"rows":{}}}"#,
            n % 500 + 1,
            n % 300 + 1
        );
        terminal.socket.write(Message::text(text)).unwrap();
        if n % 100 == 0 {
            terminal.socket.flush().unwrap();
            assert!(matches!(terminal.frame(), Message::Binary(_)));
        }
    }
    fs::write(sandboxd.workspace.path().join("stop"), "").unwrap();
    terminal.resize(77, 33);
    terminal.send("over\n");
    let finished = terminal.finish();
    let text = finished.text();
    assert!(text.ends_with("over\n33 77\n"), "{text:.100}");
    assert_eq!(finished.code(), 0);
    assert!(sandboxd.resident_kib() < LIMIT, "{} KiB", sandboxd.resident_kib());
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}

#[test]
fn pings_and_bytes_that_are_no_websocket() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::run(&sandboxd, "cat");
    terminal.socket.send(Message::Ping("x".into())).unwrap();
    assert_eq!(terminal.frame(), Message::Pong("x".into()));
    terminal.socket.get_mut().write_all(&[0xff; 100]).unwrap();
    let finished = terminal.finish();
    assert_eq!(finished.last, None, "no invented exit");
    eventually("nothing is counted", || !sandboxd.activity().is_busy());
}
