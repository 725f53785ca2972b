//! The lifecycle of a sandbox, as a Sandbox object sees it.

use std::os::unix::fs::PermissionsExt as _;

use sandbar_tests::build;

use crate::support::{Local, command, entries, eventually, get, processes, sandboxd_process, sh, signal};
use reqwest::StatusCode;
use sandbox_protocol::local::Status;
use sandbox_protocol::{ErrorBody, ErrorCode, sandboxd};

/// Makes more nested directories than a recursive walk can handle with a thread's stack of 8 MiB.
const NEST: &str = r#"python3 -c '
import os
for _ in range(45000):
    os.mkdir("d")
    os.chdir("d")
'"#;

#[tokio::test]
async fn a_start_gives_the_address_of_a_sandboxd_that_answers() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    assert_eq!(local.status("a").await, Status::default());

    let boot = local.boot("a", "boot-start").await;
    assert_eq!(boot.boot_id, "boot-start");
    let health = get(&format!("http://{}{}", boot.address, sandboxd::HEALTH)).await;
    assert_eq!(health.status(), 200);
    assert_eq!(health.headers()[sandboxd::BOOT_ID_HEADER], "boot-start");
    assert_eq!(sh(&boot, "echo $GREETING; pwd").await, "hello\n/workspace");
    assert_eq!(local.status("a").await.running, Some(boot));
}

#[tokio::test]
async fn of_many_starts_one_makes_the_boot() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let starts = (0..50).map(|i| {
        let boot_id = format!("boot-many-{i}");
        let local = &local;
        async move { local.boot("a", &boot_id).await }
    });
    let boots = futures_util::future::join_all(starts).await;
    assert!(boots.iter().all(|boot| *boot == boots[0]));
    let alive = (0..50).filter(|i| !processes(&format!("boot-many-{i}")).is_empty());
    assert_eq!(alive.count(), 1);
    assert_eq!(local.boot("a", "boot-later").await, boots[0]);
}

#[tokio::test]
async fn the_end_of_a_killed_sandboxd_is_reported_at_once_and_the_next_boot_starts_empty() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let boot = local.boot("a", "boot-killed").await;
    sh(&boot, "echo kept >/workspace/file; sleep 600 >/dev/null 2>&1 &").await;

    let (ended, ()) = tokio::join!(local.exit("a", "boot-killed"), async {
        signal("KILL", sandboxd_process("boot-killed"));
    });
    assert_eq!(
        (ended.running, ended.last_exit.as_deref()),
        (None, Some("signal 9"))
    );
    assert_eq!(processes("boot-killed"), [0; 0]);
    let refused = reqwest::get(format!("http://{}/health", boot.address))
        .await
        .unwrap_err();
    assert!(refused.is_connect());
    // For a boot that has ended already, or that never existed, it answers at once.
    assert_eq!(
        local.exit("a", "boot-killed").await.last_exit.as_deref(),
        Some("signal 9")
    );
    assert_eq!(
        local.exit("a", "boot-unknown").await.last_exit.as_deref(),
        Some("signal 9")
    );

    let next = local.boot("a", "boot-next").await;
    assert_eq!(next.boot_id, "boot-next");
    assert_eq!(sh(&next, "ls -A /workspace").await, "");
}

#[tokio::test]
async fn a_stop_lets_sandboxd_end_in_order() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    local.stop("a").await;

    local.boot("a", "boot-stop").await;
    local.stop("a").await;
    let ended = local.exit("a", "boot-stop").await;
    assert_eq!(ended.last_exit.as_deref(), Some("exit 0"));
    assert_eq!(processes("boot-stop"), [0; 0]);
}

#[tokio::test]
async fn a_sandboxd_that_ignores_sigterm_is_killed() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    local.boot("a", "boot-deaf").await;
    // A stopped process handles no SIGTERM, but SIGKILL ends it.
    signal("STOP", sandboxd_process("boot-deaf"));
    local.stop("a").await;
    assert_eq!(
        local.exit("a", "boot-deaf").await.last_exit.as_deref(),
        Some("signal 9")
    );
}

#[tokio::test]
async fn a_start_while_the_last_boot_ends_waits_and_starts_again() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    local.boot("a", "boot-first").await;
    local.stop("a").await;
    assert_eq!(local.boot("a", "boot-second").await.boot_id, "boot-second");
    assert_eq!(processes("boot-first"), [0; 0]);
}

#[tokio::test]
async fn a_destroy_leaves_nothing() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    local.destroy("unknown").await;

    let boot = local.boot("a", "boot-destroyed").await;
    // A directory that its owner may not write to is deleted too.
    let script =
        "mkdir -p /workspace/d/e && chmod 000 /workspace/d; setsid sleep 600 >/dev/null 2>&1 & sleep 0.1";
    sh(&boot, script).await;
    local.destroy("a").await;
    assert_eq!(processes("boot-destroyed"), [0; 0]);
    assert_eq!(entries(&state.path().join("sandboxes")), Vec::<String>::new());
    assert_eq!(local.status("a").await, Status::default());
    eventually(|| entries(&state.path().join("trash")).is_empty()).await;
}

#[tokio::test]
async fn a_tree_of_any_depth_is_deleted_and_its_deletion_keeps_nothing_else_from_going_on() {
    // In memory where possible: a disk takes up to a minute for this many directories.
    let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let state = state.unwrap();
    let mut local = Local::start(state.path());
    let deep = local.boot("a", "boot-deep").await;
    sh(&deep, NEST).await;
    local.destroy("a").await;
    local.boot("b", "boot-beside").await;
    eventually(|| entries(&state.path().join("trash")).is_empty()).await;

    // A killed one leaves the tree to its successor.
    let deep = local.boot("a", "boot-left").await;
    sh(&deep, NEST).await;
    local.signal("KILL");
    local.process.wait().unwrap();
    let local = Local::start(state.path());
    local.boot("a", "boot-successor").await;
    eventually(|| entries(&state.path().join("trash")).is_empty()).await;
}

#[tokio::test]
async fn unknown_calls_are_rejected() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let (root, _) = local.url.rsplit_once('/').unwrap();
    for path in ["/", "/sandbox/a", "/0123456789abcdef0123456789abcdef/sandbox/a"] {
        assert_eq!(
            get(&format!("{root}{path}")).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    for (url, status, code) in [
        (local.sandbox("Capitals"), 400, ErrorCode::InvalidRequest),
        (
            format!("{}/exit", local.sandbox("a")),
            400,
            ErrorCode::InvalidRequest,
        ),
        (
            format!("{}/stop", local.sandbox("a")),
            405,
            ErrorCode::MethodNotAllowed,
        ),
        (
            format!("{}/nothing", local.sandbox("a")),
            404,
            ErrorCode::NotFound,
        ),
    ] {
        let response = get(&url).await;
        assert_eq!(response.status(), status, "{url}");
        assert_eq!(response.json::<ErrorBody>().await.unwrap().code, code);
    }
    let broken = reqwest::Client::new()
        .post(local.sandbox("a"))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(broken.status(), 400);
}

#[tokio::test]
async fn the_error_of_a_failed_boot_has_the_reason() {
    let state = tempfile::tempdir().unwrap();
    let sandboxd = state.path().join("sandboxd");
    std::fs::write(&sandboxd, "#!/bin/sh\necho the disk is on fire >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&sandboxd, std::fs::Permissions::from_mode(0o755)).unwrap();
    let local = Local::spawn(command(&sandboxd, &state.path().join("state")));

    let response = local.try_start("a", "boot-failed").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let error: ErrorBody = response.json().await.unwrap();
    assert_eq!(error.code, ErrorCode::SandboxUnavailable);
    assert!(
        error.error.contains("exit 3") && error.error.contains("the disk is on fire"),
        "{}",
        error.error
    );
    assert_eq!(local.status("a").await.running, None);
    assert_eq!(
        entries(&state.path().join("state/sandboxes")),
        Vec::<String>::new()
    );

    // bubblewrap itself fails: the program that it should run is gone.
    std::fs::remove_file(&sandboxd).unwrap();
    let error: ErrorBody = local.try_start("a", "boot-gone").await.json().await.unwrap();
    assert!(
        error.error.contains("bwrap: Can't find source path"),
        "{}",
        error.error
    );
}

#[tokio::test]
async fn connections_without_the_secret_take_nothing_from_those_with_it() {
    let state = tempfile::tempdir().unwrap();
    let mut few_descriptors = std::process::Command::new("sh");
    few_descriptors.args(["-c", r#"ulimit -n 600; exec "$0" "$@""#]);
    let with_many = command(&build::sandboxd(), state.path());
    few_descriptors
        .arg(with_many.get_program())
        .args(with_many.get_args());
    let local = Local::spawn(few_descriptors);
    local.boot("a", "boot-before").await;
    let (address, _) = local
        .url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let silent: Vec<_> = (0..700)
        .map(|_| std::net::TcpStream::connect(address).unwrap())
        .collect();
    let boot = local.boot("b", "boot-among").await;
    assert_eq!(sh(&boot, "echo works").await, "works");
    assert_eq!(local.status("a").await.running.unwrap().boot_id, "boot-before");
    drop(silent);
}

#[tokio::test]
async fn a_start_above_the_limit_is_refused_until_a_sandbox_ends() {
    let state = tempfile::tempdir().unwrap();
    let mut limited = command(&build::sandboxd(), state.path());
    limited.args(["--max-sandboxes", "2"]);
    let local = Local::spawn(limited);
    local.boot("a", "boot-first").await;
    local.boot("b", "boot-second").await;
    let refused = local.try_start("c", "boot-third").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: ErrorBody = refused.json().await.unwrap();
    assert_eq!(body.code, ErrorCode::CapacityExceeded);
    assert_eq!(
        local.boot("a", "boot-again").await.boot_id,
        "boot-first",
        "a running sandbox is within the limit"
    );
    local.destroy("a").await;
    local.boot("c", "boot-third").await;
}
