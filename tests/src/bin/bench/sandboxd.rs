//! `sandboxd` by itself: how soon it answers and how much memory it takes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandbar_tests::bridge::free_port;

use crate::report::{Limit, Report, median, ms};
use crate::size::sandboxd_path;

const STARTS: usize = 21;

/// A `sandboxd` that ends with its owner.
struct Daemon {
    child: Child,
    port: u16,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures a `sandboxd` that is started outside any sandbox.
pub async fn measure(report: &mut Report) {
    let workspace_is_ours = std::fs::create_dir("/workspace").is_ok();
    let starts = (0..STARTS).map(|_| start().1).collect();
    report.add(
        "sandboxd, start to first answer",
        STARTS,
        median(starts),
        "ms",
        Limit::AtMost(15.0),
    );

    let (daemon, _) = start();
    std::thread::sleep(Duration::from_secs(1));
    report.add(
        "sandboxd, RSS idle",
        1,
        rss_mib(&daemon),
        "MiB",
        Limit::AtMost(10.0),
    );

    let mut unread = TcpStream::connect(("127.0.0.1", daemon.port)).expect("a connection");
    let body = r#"{"argv":["yes"]}"#;
    write!(
        unread,
        "POST /exec HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut most: f64 = 0.0;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        most = most.max(rss_mib(&daemon));
    }
    report.add(
        "sandboxd, RSS while a client reads nothing from `yes`",
        30,
        most,
        "MiB",
        Limit::AtMost(40.0),
    );
    drop((unread, daemon));
    if workspace_is_ours {
        let _ = std::fs::remove_dir("/workspace");
    }
}

/// Starts one and waits for its first answer; gives the milliseconds it took.
fn start() -> (Daemon, f64) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let began = Instant::now();
    let child = Command::new(sandboxd_path())
        .args(["--listen", &address])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sandboxd, built by `npm run bench`");
    let daemon = Daemon { child, port };
    while !answers(&address) {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "sandboxd does not answer"
        );
        std::thread::sleep(Duration::from_micros(200));
    }
    (daemon, ms(began.elapsed()))
}

fn answers(address: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

fn rss_mib(daemon: &Daemon) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<f64>()
        .expect("a number")
        / 1024.0
}
