//! Tunnels, with a stand-in for `cloudflared` that reports its input.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sandbox_protocol::{ErrorCode, Tunnel};
use serde_json::json;

use crate::support::{Tunnels, eventually, signal_process};

fn is_alive(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

fn named(name: &str) -> String {
    json!({ "named": {
        "name": name, "id": "the-id", "hostname": format!("{name}.example.com"), "token": "s3cret"
    }})
    .to_string()
}

#[test]
fn a_quick_tunnel_has_the_address_that_cloudflared_was_given_and_is_reused() {
    let tunnels = Tunnels::start();
    assert_eq!(tunnels.request("GET", "8080?name=app", ""), (204, String::new()));
    let tunnel = tunnels.open("8080", "{}");
    let [run] = &tunnels.runs()[..] else {
        panic!("{:?}", tunnels.runs())
    };
    let host = format!("stand-in-{}.trycloudflare.com", run["pid"]);
    assert_eq!(
        (tunnel.url, tunnel.hostname.as_str(), tunnel.port.get()),
        (format!("https://{host}"), host.as_str(), 8080)
    );
    assert!(
        tunnel.id.starts_with("quick-") && tunnel.id.len() == 14,
        "{}",
        tunnel.id
    );
    assert_eq!(tunnel.name, None);
    assert!(
        tunnel.created_at.starts_with("20") && tunnel.created_at.ends_with('Z'),
        "{}",
        tunnel.created_at
    );
    assert_eq!(run["arguments"][5], "http://localhost:8080");
    assert_eq!(run["home"], "/nonexistent");

    let again = tunnels.open("8080", "{}");
    assert_eq!((&again.id, &again.url), (&tunnel.id, &format!("https://{host}")));
    let other = tunnels.open("8081", "{}");
    assert_ne!(other.url, format!("https://{host}"));
    assert_eq!(tunnels.runs().len(), 2);
}

#[test]
fn callers_at_the_same_time_get_one_tunnel() {
    let tunnels = Tunnels::start();
    tunnels.set_mode("slow");
    thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| tunnels.open("8080", "{}").id))
            .collect();
        eventually("it is started", || tunnels.runs().len() == 1);
        thread::sleep(Duration::from_millis(300));
        fs::remove_file(tunnels.mode()).unwrap();
        let ids: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    });
    assert_eq!(tunnels.runs().len(), 1);
}

#[test]
fn a_caller_that_leaves_changes_nothing() {
    let tunnels = Tunnels::start();
    tunnels.set_mode("slow");
    let mut connection = tunnels.sandboxd.connect();
    connection
        .write_all(b"POST /tunnel/8080 HTTP/1.1\r\nhost: sandbox\r\ncontent-length: 2\r\n\r\n{}")
        .unwrap();
    eventually("it is started", || tunnels.runs().len() == 1);
    drop(connection);
    thread::sleep(Duration::from_millis(200));
    fs::remove_file(tunnels.mode()).unwrap();
    let host = tunnels.open("8080", "{}").hostname;
    assert_eq!(host, format!("stand-in-{}.trycloudflare.com", tunnels.pid(0)));
}

#[test]
fn a_named_tunnel_gets_its_token_by_the_environment() {
    let tunnels = Tunnels::start();
    let tunnel = tunnels.open("8080", &named("app"));
    assert_eq!(
        (tunnel.id.as_str(), tunnel.url.as_str(), tunnel.hostname.as_str()),
        ("the-id", "https://app.example.com", "app.example.com")
    );
    assert_eq!(tunnel.name.as_ref().unwrap().as_str(), "app");
    let (status, found) = tunnels.request("GET", "8080?name=app", "");
    assert_eq!(
        (status, serde_json::from_str::<Tunnel>(&found).unwrap()),
        (200, tunnel)
    );
    let runs = tunnels.runs();
    assert_eq!(runs[0]["token"], "s3cret");
    assert!(!runs[0]["arguments"].to_string().contains("s3cret"));
}

#[test]
fn another_name_on_the_same_port_is_refused() {
    let tunnels = Tunnels::start();
    tunnels.open("8080", &named("app"));
    for (body, message) in [
        ("{}".to_owned(), "the name app"),
        (named("other"), "the name app"),
    ] {
        let (status, error) = tunnels.error_of("POST", "8080", &body);
        assert_eq!((status, error.code), (502, ErrorCode::TunnelError));
        assert!(error.error.contains(message), "{}", error.error);
    }
    tunnels.open("8081", "{}");
    for (method, port, body) in [
        ("POST", "8081", named("app")),
        ("GET", "8081?name=app", String::new()),
    ] {
        let (status, error) = tunnels.error_of(method, port, &body);
        assert_eq!((status, error.code), (502, ErrorCode::TunnelError));
        assert!(error.error.contains("no name"), "{}", error.error);
    }
}

#[test]
fn a_closed_tunnel_leaves_nothing() {
    let tunnels = Tunnels::start();
    tunnels.open("8080", "{}");
    assert_eq!(tunnels.request("DELETE", "8080", ""), (204, String::new()));
    assert!(!is_alive(tunnels.pid(0)));
    assert_eq!(tunnels.request("GET", "8080?name=app", "").0, 204);
    assert_eq!(tunnels.request("DELETE", "8080", "").0, 204, "there was none");
    tunnels.open("8080", &named("app"));
    assert_eq!(tunnels.runs().len(), 2);
    eventually("no zombies", || tunnels.sandboxd.zombies() == 0);
}

#[test]
fn a_cloudflared_that_died_is_noticed_and_the_next_call_starts_another() {
    let tunnels = Tunnels::start();
    let first = tunnels.open("8080", "{}");
    signal_process(tunnels.pid(0), "KILL");
    eventually("it is gone", || {
        tunnels.request("GET", "8080?name=app", "").0 == 204
    });
    let second = tunnels.open("8080", "{}");
    assert_ne!((first.id, first.url), (second.id, second.url));
}

#[test]
fn a_cloudflared_that_fails_is_quoted_without_its_token() {
    let tunnels = Tunnels::start();
    tunnels.set_mode("refuse");
    let (status, error) = tunnels.error_of("POST", "8080", &named("app"));
    assert_eq!((status, error.code), (502, ErrorCode::TunnelError));
    assert!(
        error.error.contains("exit code 1")
            && error.error.contains("token is not valid: …")
            && !error.error.contains("s3cret"),
        "{}",
        error.error
    );
    fs::remove_file(tunnels.mode()).unwrap();
    tunnels.open("8080", "{}");
}

#[test]
fn a_missing_cloudflared_is_reported_before_anything_is_prepared() {
    let tunnels = Tunnels::start_with(&[("SANDBOX_CLOUDFLARED", "/nowhere/cloudflared")]);
    for (method, port) in [("GET", "8080?name=app"), ("POST", "8080")] {
        let (status, error) = tunnels.error_of(method, port, "{}");
        assert_eq!((status, error.code), (502, ErrorCode::TunnelError), "{method}");
        assert!(error.error.contains("/nowhere/cloudflared"), "{}", error.error);
    }
    assert_eq!(tunnels.request("DELETE", "8080", "").0, 204);
}

#[test]
fn bad_ports_and_bodies_are_refused() {
    let tunnels = Tunnels::start();
    for port in ["80", "28671", "65536", "x"] {
        for (method, query) in [("GET", "?name=app"), ("POST", ""), ("DELETE", "")] {
            let (status, error) = tunnels.error_of(method, &format!("{port}{query}"), "{}");
            assert_eq!((status, error.code), (400, ErrorCode::InvalidRequest), "{port}");
        }
    }
    for body in ["", "{", r#"{"named":{"name":"app"}}"#, &named("A.B")] {
        let (status, error) = tunnels.error_of("POST", "8080", body);
        assert_eq!((status, error.code), (400, ErrorCode::InvalidRequest), "{body}");
    }
    assert_eq!(tunnels.runs().len(), 0);
}

#[test]
fn there_is_a_limit() {
    let tunnels = Tunnels::start();
    for port in 8000..8016 {
        tunnels.open(&port.to_string(), "{}");
    }
    let (status, error) = tunnels.error_of("POST", "8016", "{}");
    assert_eq!((status, error.code), (503, ErrorCode::LimitExceeded));
    let message = "too many tunnels: the limit is 16 (SANDBOX_MAX_TUNNELS)";
    assert_eq!(error.error, message);
    tunnels.request("DELETE", "8000", "");
    tunnels.open("8016", "{}");
}

#[test]
fn visitors_count_as_use_and_an_open_tunnel_alone_does_not() {
    let tunnels = Tunnels::start();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    tunnels.open(&port.to_string(), "{}");
    thread::sleep(Duration::from_millis(500));
    let activity = tunnels.sandboxd.activity();
    assert!(
        activity.idle_ms >= 400 && !activity.is_busy(),
        "no visitor, no use: {activity:?}"
    );
    let metrics = tunnels.runs()[0]["metrics"].as_u64().unwrap();
    let mut visitor = TcpStream::connect(("127.0.0.1", u16::try_from(metrics).unwrap())).unwrap();
    visitor.write_all(b"POST /visit HTTP/1.0\r\n\r\n").unwrap();
    let (mut visit, _) = service.accept().unwrap();
    visit
        .write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        .unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    let activity = tunnels.sandboxd.activity();
    assert!(activity.idle_ms < 400, "{activity:?}");
    thread::sleep(Duration::from_millis(500));
    let activity = tunnels.sandboxd.activity();
    assert!(activity.idle_ms >= 400, "that visit was counted: {activity:?}");
}

#[test]
fn it_ends_with_sandboxd() {
    let mut tunnels = Tunnels::start();
    tunnels.open("8080", "{}");
    let pid = tunnels.pid(0);
    tunnels.sandboxd.signal("TERM");
    assert!(tunnels.sandboxd.process.wait().unwrap().success());
    assert!(!is_alive(pid));
}

/// Only root can switch users; run by others, the test checks nothing.
#[test]
fn commands_cannot_read_its_environment_or_end_it() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let tunnels = Tunnels::start_with(&[("SANDBOX_USER", "nobody")]);
    tunnels.open("8080", &named("app"));
    let pid = tunnels.pid(0);
    assert_eq!(tunnels.runs()[0]["uid"], 0);
    let script = format!("cat /proc/{pid}/environ; kill -9 {pid}; grep -a s3cret /proc/[0-9]*/cmdline");
    let output = tunnels
        .sandboxd
        .exec(&json!({"argv": ["sh", "-c", script.replace("grep -a s3cret", "grep -a s3[c]ret")]}));
    assert_ne!(output.code(), 0);
    assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
    assert!(is_alive(pid));
}
