//! Archives, and the connections of terminals: those over the limits are refused, and capacity
//! comes back.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Sandboxd, Terminal, eventually};

fn with(name: &'static str, value: &'static str) -> Sandboxd {
    Sandboxd::start_with(|command| {
        command.env(name, value);
    })
}

#[test]
fn archives_over_the_limit_are_refused() {
    let sandboxd = with("SANDBOX_MAX_ARCHIVES", "1");
    let persist = || sandboxd.request("GET", "/persist");
    assert!(persist().0.starts_with("http/1.1 200"));
    let head = "POST /hydrate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let mut unfinished = Vec::new();
    eventually("it is under way", || {
        // It may be refused while the one before is still being cleaned up.
        let mut connection = sandboxd.connect();
        connection.write_all(head.as_bytes()).unwrap();
        unfinished.push(connection);
        thread::sleep(Duration::from_millis(100));
        persist().0.starts_with("http/1.1 503")
    });
    for (method, path) in [("GET", "/persist"), ("POST", "/hydrate")] {
        let (head, body) = sandboxd.request(method, path);
        assert!(
            head.starts_with("http/1.1 503") && head.contains("retry-after: "),
            "{head}"
        );
        assert!(
            body.contains("limit_exceeded") && body.contains("SANDBOX_MAX_ARCHIVES"),
            "{body}"
        );
    }
    assert_eq!(sandboxd.exec(&json!({"argv": ["echo", "well"]})).text(), "well\n");
    drop(unfinished);
    eventually("there is capacity again", || {
        persist().0.starts_with("http/1.1 200")
    });
}

#[test]
fn archives_share_the_buffers() {
    let sandboxd = with("SANDBOX_MAX_BUFFER_BYTES", "1048576");
    let body = "x".repeat(3 << 20);
    // Either the malformed archive or the limit is found first.
    let (head, text) = sandboxd.send("POST /hydrate", body);
    assert!(
        head.starts_with("http/1.1 400") || text.contains("SANDBOX_MAX_BUFFER_BYTES"),
        "{head}{text}"
    );
    // And released its buffers: an archive takes all that there are.
    for _ in 0..20 {
        eventually("there is capacity", || {
            sandboxd.request("GET", "/persist").0.starts_with("http/1.1 200")
        });
    }
}

#[test]
fn a_terminal_counts_as_a_connection_for_as_long_as_it_has_a_client() {
    let sandboxd = with("SANDBOX_MAX_CONNECTIONS", "8");
    let terminals: Vec<_> = (0..8).map(|_| Terminal::open(&sandboxd, "")).collect();
    for _ in 0..20 {
        let (head, body) = sandboxd.request("GET", "/health");
        assert!(head.starts_with("http/1.1 503"), "{head}");
        assert!(body.contains("SANDBOX_MAX_CONNECTIONS"), "{body}");
    }
    drop(terminals);
    eventually("there is capacity again", || {
        sandboxd.request("GET", "/health").0.starts_with("http/1.1 200")
    });
    drop(Terminal::open(&sandboxd, ""));
}
