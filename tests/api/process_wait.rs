//! Waits for the end, the output and the ports of a process.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::process_end::wait_for_output;
use crate::sandbox;

#[tokio::test]
async fn a_wait_ends_with_what_it_is_for_with_the_process_or_in_time() {
    let sandbox = sandbox().await;
    let process = sandbox
        .start_sh("until [ -e go ]; do sleep 0.02; done; exit 9")
        .await;
    let started = Instant::now();
    for condition in [
        json!({ "for": "exit", "timeout_ms": 200 }),
        json!({ "for": "log", "pattern": "never", "timeout_ms": 200 }),
        json!({ "for": "port", "port": 18_091, "timeout_ms": 200 }),
    ] {
        assert_eq!(
            process.wait(&condition).await,
            json!({ "state": "timed_out" }),
            "{condition}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    let (exit, log, port) = (
        json!({ "for": "exit" }),
        json!({ "for": "log", "pattern": "never" }),
        json!({ "for": "port", "port": 18_091 }),
    );
    let waits = async { tokio::join!(process.wait(&exit), process.wait(&log), process.wait(&port)) };
    let go = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        sandbox.put("workspace/go", "").await
    };
    let ((exit, log, port), _) = tokio::join!(waits, go);
    for result in [exit, log, port] {
        assert_eq!(result, json!({ "state": "exited", "exit": { "exit_code": 9 } }));
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_wait_for_output_sees_earlier_output_and_matches_across_pieces() {
    let sandbox = sandbox().await;
    let script = "printf 'Listening on po'; sleep 0.2; printf 'rt 80'; sleep 0.2; printf '80\\n'; sleep 0.2; \
                  echo 'to stderr' >&2; exec sleep 60";
    let process = sandbox.start_sh(script).await;
    for _ in 0..2 {
        // The second time, everything was written before.
        let wait = json!({ "for": "log", "pattern": r"on port (\d+)\n", "timeout_ms": 20_000 });
        let result = process.wait(&wait).await;
        assert_eq!(
            (&result["state"], &result["match"]),
            (&json!("matched"), &json!("on port 8080\n"))
        );
        assert_eq!(result["eventId"], 3);
        wait_for_output(&process, "to stderr").await;
    }
    let of =
        |stream: &str| json!({ "for": "log", "pattern": "to stderr", "stream": stream, "timeout_ms": 300 });
    assert_eq!(process.wait(&of("stderr")).await["state"], "matched");
    assert_eq!(process.wait(&of("stdout")).await["state"], "timed_out");
    // Also after its end.
    process.end().await;
    let process = sandbox.start_sh("echo last words").await;
    process.exit().await;
    wait_for_output(&process, "^last words$").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_beginning_of_a_line_is_not_where_the_search_goes_on() {
    let sandbox = sandbox().await;
    // One long line, in several events.
    let script = "printf a; head -c 300000 /dev/zero | tr '\\0' X; echo; echo X";
    let process = sandbox.start_sh(script).await;
    let result = process.wait(&json!({ "for": "log", "pattern": "^X" })).await;
    assert_eq!(result["match"], "X");
    let log = process.log("").await.finish().await;
    assert!(log.stdout.ends_with(b"\nX\n") && log.stdout.len() == 300_004);
    let before = process
        .log_after(result["eventId"].as_u64().unwrap(), "")
        .await
        .finish()
        .await;
    assert_eq!(before.stdout.len(), 0, "it matched too early");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_pattern_that_takes_long_delays_no_other_request_and_ends_in_time() {
    let sandbox = sandbox().await;
    let script = "head -c 60000 /dev/zero | tr '\\0' a; while :; do printf a; sleep 0.005; done";
    let process = sandbox.start_sh(script).await;
    let wait = json!({ "for": "log", "pattern": "[ab]*a[ab]{1500}z", "timeout_ms": 2000 });
    let started = Instant::now();
    let waits = futures_util::future::join_all((0..4).map(|_| process.wait(&wait)));
    let others = async {
        for _ in 0..10 {
            let asked = Instant::now();
            assert_eq!(process.show().await["state"], "running");
            assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        }
    };
    let (results, ()) = futures_util::future::join(waits, others).await;
    assert!(
        results.iter().all(|result| result["state"] == "timed_out"),
        "{results:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    sandbox.destroy().await;
}

/// A server on this port of 127.0.0.1, which answers with 404 to everything but `/ready`.
fn server(port: u16) -> Value {
    let script = r#"
        use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
        until (-e "go") { select(undef, undef, undef, 0.02) }
        bind($s, sockaddr_in(PORT, INADDR_LOOPBACK)) or die $!; listen($s, 9);
        while (accept(my $c, $s)) {
            my $line = <$c>; my $status = $line =~ m(^GET /ready ) ? "200 OK" : "404 Not Found";
            syswrite($c, "HTTP/1.1 $status\r\ncontent-length: 0\r\n\r\n"); close($c);
        }
    "#;
    json!({ "argv": ["sh", "-c", "perl -e \"$0\"", script.replace("PORT", &port.to_string())] })
}

#[tokio::test]
async fn a_wait_for_a_port_sees_the_listeners_of_the_tree() {
    let sandbox = sandbox().await;
    let port = 18_092;
    let mut body = server(port);
    body["id"] = "server".into();
    let process = sandbox.start(&body).await;
    let other = sandbox.start(&json!({ "argv": ["sleep", "60"] })).await;
    let until = |rest: Value| {
        let mut body = json!({ "for": "port", "port": port, "timeout_ms": 500 });
        body.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        body
    };
    assert_eq!(process.wait(&until(json!({}))).await["state"], "timed_out");
    let wait = until(json!({ "timeout_ms": 20_000 }));
    let waiting = process.wait(&wait);
    let (result, _) = tokio::join!(waiting, sandbox.put("workspace/go", ""));
    assert_eq!(result, json!({ "state": "ready" }));
    assert_eq!(process.show().await["ports"], json!([port]));
    let repeated = ok(sandbox.post("/process", &body).await).await;
    assert_eq!(repeated["ports"], json!([port]));
    assert_eq!(sandbox.processes("").await[1]["ports"], json!([port]));
    assert_eq!(other.show().await["ports"], json!([]));
    assert_eq!(other.wait(&until(json!({}))).await["state"], "timed_out");
    for (rest, state, status) in [
        (json!({ "path": "/ready" }), "ready", json!(200)),
        (json!({ "path": "/other", "status": 404 }), "ready", json!(404)),
        (json!({ "path": "/other" }), "timed_out", Value::Null),
        (
            json!({ "path": "/ready", "status": 204 }),
            "timed_out",
            Value::Null,
        ),
    ] {
        let result = process.wait(&until(rest.clone())).await;
        assert_eq!(
            (&result["state"], &result["status"]),
            (&json!(state), &status),
            "{rest}"
        );
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_wait_for_output_ends_with_a_process_whose_client_reads_nothing() {
    let sandbox = sandbox().await;
    let body = json!({ "argv": ["bash", "-c", "head -c 400000 /dev/zero; exit 3"], "id": "unread" });
    // The stream is not read: the rest of the output waits for it.
    let unread = sandbox
        .request(Method::POST, "/exec")
        .json(&body)
        .send()
        .await
        .unwrap();
    let process = sandbox.process("unread");
    let wait = json!({ "for": "log", "pattern": "never", "timeout_ms": 20_000 });
    assert_eq!(
        process.wait(&wait).await,
        json!({ "state": "exited", "exit": { "exit_code": 3 } })
    );
    drop(unread);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_process_does_not_wait_for_a_client_whatever_its_linger_is() {
    let sandbox = sandbox().await;
    let body = json!({ "argv": ["head", "-c", "100000000", "/dev/zero"], "linger_ms": 1 });
    let process = sandbox.start(&body).await;
    let wait = json!({ "for": "exit", "timeout_ms": 30_000 });
    assert_eq!(process.wait(&wait).await["state"], "exited");
    sandbox.destroy().await;
}
