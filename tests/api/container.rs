//! Faults of containers. Only where the tests run on containers of this machine.

use std::time::{Duration, Instant};

use sandbar_tests::client::{assert_error, retry_after};
use sandbar_tests::docker::{container_of, docker, image_of_the_project};
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::{bridge, eventually, sandbox};

/// Whether the shared bridge runs containers here; reports it when a test is left out.
pub fn on_containers() -> bool {
    let on = bridge().has_containers;
    if !on {
        eprintln!("skipped: the sandboxes of this bridge are not containers of this machine");
    }
    on
}

#[tokio::test]
async fn a_killed_container_ends_the_stream_with_an_error_and_the_next_request_boots_afresh() {
    if !on_containers() {
        return;
    }
    for script in ["echo up; sleep 600", "yes"] {
        let sandbox = sandbox().await;
        let boot = sandbox.boot_id().await;
        let mut events = sandbox.stream(&json!({ "argv": ["sh", "-c", script] })).await;
        events.next().await.unwrap().unwrap();
        docker(&["kill", &container_of(&boot).expect("its container")]);
        let killed = Instant::now();
        let rest = events.finish().await;
        rest.assert_broken_off();
        assert!(
            killed.elapsed() < Duration::from_secs(20),
            "a generous bound: {:?}",
            killed.elapsed()
        );
        let next = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
        assert_eq!(next.status(), 200);
        assert_ne!(next.headers()["sandbox-boot-id"].to_str().unwrap(), boot);
        sandbox.destroy().await;
    }
}

#[tokio::test]
async fn a_killed_idle_container_is_not_running_and_comes_back() {
    if !on_containers() {
        return;
    }
    let sandbox = sandbox().await;
    let boot = sandbox.boot_id().await;
    docker(&["kill", &container_of(&boot).expect("its container")]);
    eventually("it is known to be gone", || async { !sandbox.running().await }).await;
    assert_ne!(sandbox.boot_id().await, boot);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_destroyed_sandbox_leaves_no_container() {
    if !on_containers() {
        return;
    }
    let sandbox = sandbox().await;
    let boot = sandbox.boot_id().await;
    assert!(container_of(&boot).is_some());
    assert_eq!(sandbox.destroy().await, 204);
    assert_eq!(container_of(&boot), None);
}

#[tokio::test]
async fn commands_are_an_ordinary_user_that_cannot_touch_sandboxd() {
    if !on_containers() {
        return;
    }
    let sandbox = sandbox().await;
    let script =
        "id -un; kill -9 1 2>&1; cat /proc/1/environ 2>&1; touch /usr/x 2>&1; touch ok && stat -c %U ok";
    let text = sandbox.sh(script).await.text();
    assert!(
        text.starts_with("sandbox\n") && text.ends_with("sandbox\n"),
        "{text}"
    );
    assert_eq!(
        text.matches("ermission denied").count() + text.matches("not permitted").count(),
        3,
        "{text}"
    );
    sandbox.put("workspace/put", "x").await;
    assert_eq!(
        sandbox.sh("stat -c %U put; echo y >> put; cat put").await.text(),
        "sandbox\nxy\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_image_that_exits_at_once_is_502_with_its_exit_code() {
    if !on_containers() {
        return;
    }
    let bridge = Bridge::start_image(
        "FROM debian:trixie-slim\nENTRYPOINT [\"sh\", \"-c\", \"exit 3\"]\n",
        &[],
    );
    let sandbox = Client::new(&bridge).create().await;
    for _ in 0..2 {
        let response = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
        let text = assert_error(response, 502, "sandbox_unavailable").await;
        assert!(text.contains("exit code") && text.contains('3'), "{text}");
    }
    assert!(!sandbox.running().await);
    assert_eq!(sandbox.destroy().await, 204);
}

/// During a rollout, the Worker meets images from before the port changed.
#[tokio::test]
async fn a_sandboxd_that_listens_on_the_former_port_is_found() {
    if !on_containers() {
        return;
    }
    let name = image_of_the_project();
    let image = format!(
        "FROM {name}\nEXPOSE 3000\nENTRYPOINT [\"/usr/local/bin/sandboxd\", \"--listen\", \"0.0.0.0:3000\"]\n"
    );
    let bridge = Bridge::start_image(&image, &[]);
    let sandbox = Client::new(&bridge).create().await;
    for _ in 0..2 {
        assert_eq!(sandbox.sh("echo $((40 + 2))").await.text(), "42\n");
    }
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_sandboxd_that_never_answers_is_503_after_the_deadline_and_leaves_nothing() {
    if !on_containers() {
        return;
    }
    let image = "FROM debian:trixie-slim\nENTRYPOINT [\"sleep\", \"600\"]\n";
    let bridge = Bridge::start_image(image, &[("SANDBOX_START_TIMEOUT", "3s")]);
    let sandbox = Client::new(&bridge).create().await;
    let response = sandbox.exec_json(&json!({ "argv": ["true"] })).await;
    assert!((1..=3).contains(&retry_after(&response)));
    assert_error(response, 503, "sandbox_unavailable").await;
    assert!(!sandbox.running().await);
    assert_eq!(sandbox.destroy().await, 204);
}
