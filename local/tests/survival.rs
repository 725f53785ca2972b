//! Cleanup of sandboxes after any end of `sandbox-local`.

use std::path::Path;
use std::process::{Child, Command};

use sandbar_tests::build;

use crate::support::{Local, command, entries, eventually, processes, sh, signal};

#[tokio::test]
async fn a_signal_ends_all_sandboxes_and_removes_their_files() {
    for name in ["TERM", "INT", "HUP"] {
        let state = tempfile::tempdir().unwrap();
        let mut local = Local::start(state.path());
        let boots = [format!("boot-{name}-a"), format!("boot-{name}-b")];
        local.boot("a", &boots[0]).await;
        let boot = local.boot("b", &boots[1]).await;
        sh(
            &boot,
            "echo x >/workspace/file; setsid sleep 600 >/dev/null 2>&1 &",
        )
        .await;

        local.signal(name);
        assert!(local.process.wait().unwrap().success());
        assert_eq!(boots.map(|id| processes(&id)), [[0; 0], [0; 0]]);
        assert_eq!(entries(state.path()), ["lock"]);
    }
}

#[tokio::test]
async fn when_it_is_killed_its_processes_die_and_its_successor_removes_the_files() {
    let state = tempfile::tempdir().unwrap();
    let mut local = Local::start(state.path());
    let boot = local.boot("a", "boot-orphan").await;
    sh(
        &boot,
        "echo x >/workspace/file; setsid sleep 600 >/dev/null 2>&1 &",
    )
    .await;

    local.signal("KILL");
    local.process.wait().unwrap();
    eventually(|| processes("boot-orphan").is_empty()).await;
    assert_eq!(entries(&state.path().join("sandboxes")), ["a"]);

    let local = Local::start(state.path());
    assert_eq!(entries(&state.path().join("sandboxes")), Vec::<String>::new());
    let boot = local.boot("a", "boot-successor").await;
    assert_eq!(sh(&boot, "ls -A /workspace").await, "");
}

#[tokio::test]
async fn a_recorded_process_that_still_lives_is_killed_and_one_that_took_its_number_is_not() {
    let state = tempfile::tempdir().unwrap();
    let mut survivor = sleep();
    let mut stranger = sleep();
    record(state.path(), "survivor", &survivor, 0);
    record(state.path(), "stranger", &stranger, 1);

    let _local = Local::start(state.path());
    assert!(!survivor.wait().unwrap().success());
    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_state_directory_has_one_owner_at_a_time() {
    let state = tempfile::tempdir().unwrap();
    let local = Local::start(state.path());
    let boot = local.boot("a", "boot-owner").await;

    let second = command(&build::sandboxd(), state.path()).output().unwrap();
    assert!(!second.status.success());
    let message = String::from_utf8(second.stderr).unwrap();
    assert!(
        message.contains(&format!(
            "in use by another sandbox-local (process {})",
            local.process.id()
        )),
        "{message}"
    );
    assert_eq!(sh(&boot, "echo unharmed").await, "unharmed");

    signal("KILL", local.process.id() as i32);
    drop(local);
    Local::start(state.path());
}

fn sleep() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

/// Writes the record of a predecessor about a process, its start time shifted by `shift` clock
/// ticks.
fn record(state: &Path, id: &str, process: &Child, shift: u64) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let start_time: u64 = stat.split(' ').nth(21).unwrap().parse().unwrap();
    let directory = state.join("sandboxes").join(id);
    std::fs::create_dir_all(&directory).unwrap();
    let record = serde_json::json!({ "pid": process.id(), "start_time": start_time + shift });
    std::fs::write(directory.join("process"), record.to_string()).unwrap();
}
