//! SIGTERM and SIGINT end `sandboxd` and everything that it started.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Sandboxd, sleeping, unique_sleep};

/// Waits for `sandboxd` to end after `signal`, which must not take longer than it may.
fn stop(sandboxd: &mut Sandboxd, signal: &str) {
    let asked = Instant::now();
    sandboxd.signal(signal);
    let status = sandboxd.process.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(status.success(), "{status}");
}

#[test]
fn commands_end_and_their_clients_hear_of_it() {
    for signal in ["TERM", "INT"] {
        let mut sandboxd = Sandboxd::start();
        let sleeps = [unique_sleep(), unique_sleep(), unique_sleep()];
        let [own, stubborn, daemon] = &sleeps;
        let mut ordinary =
            sandboxd.begin(&json!({"argv": ["sh", "-c", format!("echo started; exec sleep {own}")]}));
        let script = format!("trap '' TERM; echo started; sleep {stubborn}");
        let mut deaf = sandboxd.begin(&json!({"argv": ["sh", "-c", script]}));
        let script = format!("(setsid env -i sleep {daemon} >/dev/null 2>&1 &)");
        assert_eq!(sandboxd.exec(&json!({"argv": ["sh", "-c", script]})).code(), 0);
        ordinary.wait_for("started");
        deaf.wait_for("started");
        stop(&mut sandboxd, signal);
        assert_eq!(ordinary.rest().exit.signal.as_deref(), Some("SIGTERM"));
        assert_eq!(deaf.rest().exit.signal.as_deref(), Some("SIGKILL"));
        for sleep in &sleeps {
            assert_eq!(sleeping(sleep), [0; 0]);
        }
    }
}

#[test]
fn a_client_that_does_not_read_holds_nothing_up() {
    let mut sandboxd = Sandboxd::start();
    let _stream = sandboxd.begin(&json!({"argv": ["yes"]}));
    let _idle = sandboxd.connect();
    std::thread::sleep(Duration::from_secs(1));
    stop(&mut sandboxd, "TERM");
}

#[test]
fn nothing_to_end() {
    let mut sandboxd = Sandboxd::start();
    assert_eq!(sandboxd.exec(&json!({"argv": ["true"]})).code(), 0);
    stop(&mut sandboxd, "TERM");
}
