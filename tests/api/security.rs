//! Promises of docs/security.md, each put to the test on either runtime.

use reqwest::Method;
use sandbar_tests::client::{lost_by_proxy, retry_after};
use sandbar_tests::docker::{container_of, docker};
use sandbar_tests::{Bridge, Client, raw};
use serde_json::json;

use crate::container::on_containers;
use crate::{bridge, client, eventually, sandbox};

#[tokio::test]
async fn a_command_can_neither_inspect_sandboxd_nor_end_it() {
    let sandbox = sandbox().await;
    let boot = sandbox.boot_id().await;
    let script = "for f in environ maps mem fd/1; do cat /proc/1/$f 2>&1; done; \
        kill -KILL 1 2>&1; kill -STOP 1 2>&1; env; echo end";
    let text = sandbox.sh(script).await.text();
    assert!(text.ends_with("end\n"), "{text}");
    assert!(text.matches("ermission denied").count() >= 4, "{text}");
    assert!(
        !text.contains("SANDBOX_SECRET") && !text.contains(&boot),
        "{text}"
    );
    assert_eq!(sandbox.boot_id().await, boot);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_command_cannot_act_through_the_port_of_sandboxd() {
    if !on_containers() {
        return;
    }
    let sandbox = sandbox().await;
    let script = "exec 3<>/dev/tcp/127.0.0.1/28671; \
        printf 'GET /file/workspace/x HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n' >&3; cat <&3";
    let text = sandbox
        .exec(&json!({ "argv": ["bash", "-c", script] }))
        .await
        .text();
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_secret_is_told_to_nobody() {
    let sandbox = sandbox().await;
    let boot = sandbox.boot_id().await;
    let mut answers = Vec::new();
    for (method, rest) in [
        (Method::GET, "/file/workspace/none"),
        (Method::PUT, "/file/workspace/f"),
        (Method::GET, "/file/workspace/f"),
        (Method::GET, "/running"),
        (Method::POST, "/exec"),
    ] {
        // A secret that a client invents changes nothing.
        let request = sandbox.request(method, rest).header("sandbox-secret", "made up");
        let response = request.body(r#"{"argv":["env"]}"#).send().await.unwrap();
        assert_ne!(response.status(), 401);
        assert!(!response.headers().contains_key("sandbox-secret"));
        answers.push(format!("{:?}", response.headers()));
        answers.push(response.text().await.unwrap());
    }
    assert!(answers.iter().all(|answer| !answer.contains("made up")));
    if on_containers() {
        let id = container_of(&boot).expect("its container");
        let env = docker(&[
            "inspect",
            "--format",
            "{{range .Config.Env}}{{println .}}{{end}}",
            &id,
        ]);
        let secret = env
            .lines()
            .find_map(|line| line.strip_prefix("SANDBOX_SECRET="))
            .unwrap();
        assert_eq!(secret.len(), 64);
        answers.push(bridge().log.text());
        assert!(answers.iter().all(|answer| !answer.contains(secret)));
        let logs = docker(&["logs", &id]);
        assert!(!logs.contains(secret), "{logs}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_log_has_no_key_and_nothing_of_a_request() {
    let sandbox = sandbox().await;
    let mark = "m4rk3d";
    sandbox.put(&format!("workspace/{mark}"), mark).await;
    sandbox.get(&format!("workspace/{mark}?{mark}={mark}")).await;
    let body = json!({ "argv": ["echo", mark], "env": { mark: mark }, "stdin": mark });
    assert_eq!(sandbox.exec(&body).await.code(), 0);
    sandbox
        .request(Method::POST, "/exec")
        .body(mark)
        .send()
        .await
        .unwrap();
    let logged = || async { bridge().log.count(&["\"request\"", &sandbox.id]) >= 4 };
    if !bridge().log.text().is_empty() {
        eventually("the requests are logged", logged).await;
    }
    let log = bridge().log.text();
    // `wrangler dev` has a log of its own, which a deployment has not.
    let bridge_lines = log.lines().filter(|line| !line.contains("[wrangler"));
    let lines = bridge_lines.filter(|line| line.contains(mark));
    assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new());
    // `npm start` prints the key once, at the start; no line of the log has it.
    let key = lines_of_requests(&log).filter(|line| line.contains(&bridge().key));
    assert!(bridge().key.is_empty() || key.count() == 0);
    sandbox.destroy().await;
}

fn lines_of_requests(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("\"message\""))
}

#[tokio::test]
async fn errors_reveal_no_internals() {
    let sandbox = sandbox().await;
    sandbox
        .sh("ln -s /etc/passwd out; ln -s loop loop; mkdir d")
        .await;
    let long = "x".repeat(300);
    for (method, rest, body) in [
        (Method::GET, "/file/workspace/out", ""),
        (Method::PUT, "/file/workspace/out", "x"),
        (Method::GET, "/file/workspace/loop", ""),
        (Method::GET, "/file/workspace/none", ""),
        (Method::PUT, "/file/workspace/d", "x"),
        (Method::PUT, &format!("/file/workspace/{long}"), "x"),
        (Method::GET, "/none", ""),
        (Method::POST, "/exec", "{"),
        (Method::POST, "/exec", r#"{"argv":["x"],"cwd":"none"}"#),
        (Method::POST, "/exec", r#"{"argv":["/workspace/d"]}"#),
    ] {
        let response = sandbox.request(method, rest).body(body).send().await.unwrap();
        let text = response.text().await.unwrap();
        for word in [
            ".rs",
            ".js",
            "wasm",
            "/proc/",
            "panicked",
            "\n    at ",
            "root:",
            ".sandbox-local",
        ] {
            assert!(!text.contains(word), "{rest}: {text}");
        }
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn requests_that_are_made_to_hurt_leave_others_alone() {
    let client = client();
    let sandbox = sandbox().await;
    assert_eq!(sandbox.sh("true").await.code(), 0);

    let many: String = (0..10_000).map(|n| format!("\nx-{n}: {n}")).collect();
    let (status, _) = raw::send(bridge(), &format!("GET /health{many}"), b"").await;
    // The platform may accept them; they are not forwarded.
    assert!([0, 200, 431].contains(&status), "{status}");

    let gib = futures_util::stream::iter((0..1024).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    let body = reqwest::Body::wrap_stream(gib);
    let huge = sandbox.request(Method::POST, "/exec").body(body).send().await;
    // Refused while it is still sent: some clients see the answer, some the closed connection.
    if let Ok(response) = huge {
        let (status, text) = (response.status(), response.text().await.unwrap_or_default());
        assert!(
            status == 413 || lost_by_proxy(status.as_u16(), &text),
            "{status} {text}"
        );
    }

    let path = format!("POST /v1/sandbox/{}/exec\nContent-Length: 100", sandbox.id);
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(raw::connect(bridge(), &path, b"{").await);
    }
    assert_eq!(sandbox.sh("echo well").await.text(), "well\n");
    let health = client.request(Method::GET, "/health").send().await.unwrap();
    assert_eq!(health.status(), 200);
    drop(slow);
    sandbox.destroy().await;
}

#[tokio::test]
async fn limits_come_from_the_workers_variables() {
    let client = Client::new(&Bridge::start(&[
        ("SANDBOX_MAX_COMMANDS", "2"),
        ("SANDBOX_MAX_PROCESSES", "400"),
    ]));
    let sandbox = client.create().await;
    let body = json!({ "argv": ["sh", "-c", "echo up; exec sleep 600"] });
    let mut running = [sandbox.stream(&body).await, sandbox.stream(&body).await];
    for events in &mut running {
        events.next().await.unwrap().unwrap();
    }
    let refused = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
    assert!((1..=3).contains(&retry_after(&refused)));
    let text = sandbar_tests::client::assert_error(refused, 503, "limit_exceeded").await;
    assert_eq!(
        text,
        "too many commands at a time: the limit is 2 (SANDBOX_MAX_COMMANDS)"
    );
    assert_eq!(sandbox.put("workspace/f", "x").await.status(), 200, "files go on");
    drop(running);
    eventually("there is room again", || async {
        sandbox.exec_json(&json!({ "argv": ["true"] })).await.status() == 200
    })
    .await;
    if client.bridge.has_containers {
        fork_bomb(&sandbox).await;
        no_memory(&sandbox).await;
    }
    sandbox.destroy().await;
}

async fn fork_bomb(sandbox: &sandbar_tests::Sandbox) {
    let boot = sandbox.boot_id().await;
    let script = "b() { b | b & wait; }; sleep 60 & (b) & wait";
    let bomb = sandbox
        .exec(&json!({ "argv": ["bash", "-c", script], "timeout_ms": 3000 }))
        .await;
    assert_eq!(bomb.code(), 124);
    eventually("others work", || async {
        sandbox.sh("echo alone | cat").await.text() == "alone\n"
    })
    .await;
    assert_eq!(sandbox.boot_id().await, boot);
}

/// The kernel ends the command that uses up the memory, and nothing else.
async fn no_memory(sandbox: &sandbar_tests::Sandbox) {
    let boot = sandbox.boot_id().await;
    let id = container_of(&boot).expect("its container");
    docker(&["update", "--memory", "96m", "--memory-swap", "96m", &id]);
    let script = "echo up; sleep 8; echo still";
    let mut other = sandbox.stream(&json!({ "argv": ["sh", "-c", script] })).await;
    other.next().await.unwrap().unwrap();
    let greedy = json!({ "argv": ["python3", "-c", "x = b'x' * (1 << 30)"] });
    let ended = sandbox.exec(&greedy).await;
    assert_eq!(
        ended.exit.unwrap(),
        json!({ "exit_code": 137, "signal": "SIGKILL" })
    );
    let rest = other.finish().await;
    assert_eq!((rest.text().as_str(), rest.code()), ("still\n", 0));
    assert_eq!(sandbox.boot_id().await, boot);
}

#[tokio::test]
async fn a_limit_that_is_no_number_is_named_at_health() {
    let config = sandbar_tests::bridge::project_root().join("wrangler.jsonc");
    let bridge = Bridge::start_bare(&config, &[("SANDBOX_MAX_COMMANDS", "lots")]);
    let response = Client::new(&bridge)
        .request(Method::GET, "/health")
        .send()
        .await
        .unwrap();
    let text = sandbar_tests::client::assert_error(response, 503, "not_configured").await;
    assert!(
        text.contains("SANDBOX_MAX_COMMANDS") && text.contains("lots"),
        "{text}"
    );
}
