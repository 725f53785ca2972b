//! Sessions are created and deleted; a command that ends early changes nothing.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Sandboxd, eventually, sleeping, unique_sleep};

#[test]
fn made_once_and_made_twice() {
    let sandboxd = Sandboxd::start();
    let (status, body) = sandboxd.create_session("");
    let id = body["id"].as_str().unwrap().to_owned();
    assert_eq!((status, id.len()), (200, 36));
    assert_eq!(sandboxd.create_session("{}").0, 200, "another one");
    let body = json!({"id": "s", "cwd": "/usr", "env": {"A": "it's\n", "NO-NAME": "x"}}).to_string();
    for _ in 0..2 {
        assert_eq!(sandboxd.create_session(&body), (200, json!({"id": "s"})));
    }
    assert_eq!(
        sandboxd.run_in("s", &["sh", "-c", "pwd; echo \"$A\"; cd /"]).0,
        "/usr\nit's\n\n"
    );
    assert_eq!(sandboxd.run_in("s", &["printenv", "NO-NAME"]).0, "x\n");
    assert_eq!(
        sandboxd.create_session(&body).0,
        200,
        "it is the same, however it has changed since"
    );
    assert_eq!(sandboxd.run_in("s", &["pwd"]).0, "/\n");
    for other in [
        json!({"id": "s"}),
        json!({"id": "s", "cwd": "/usr"}),
        json!({"id": "default", "cwd": "/"}),
    ] {
        let (status, body) = sandboxd.create_session(&other.to_string());
        assert_eq!(
            (status, body["code"].as_str()),
            (409, Some("session_exists")),
            "{other}"
        );
    }
    // One that was made by its first use is one with the defaults.
    assert_eq!(sandboxd.run_in("used", &["cd", "/usr"]).1, 0);
    assert_eq!(
        sandboxd.create_session(r#"{"id":"used","cwd":"/workspace"}"#).0,
        200
    );
    let (status, body) = sandboxd.create_session(r#"{"id":"x","cwd":"/nowhere"}"#);
    assert_eq!((status, body["code"].as_str()), (400, Some("invalid_request")));
    let (status, _) = sandboxd.create_session(r#"{"id":"a b"}"#);
    assert_eq!(status, 400);
}

#[test]
fn deleted() {
    let sandboxd = Sandboxd::start();
    assert_eq!(sandboxd.run_in("s", &["cd", "/usr"]).1, 0);
    assert_eq!(
        sandboxd.delete_session("s"),
        (200, json!({"success": true, "sessionId": "s"}))
    );
    let code = |(status, body): (u16, Value)| (status, body["code"].as_str().unwrap().to_owned());
    assert_eq!(
        code(sandboxd.delete_session("s")),
        (404, "session_not_found".into())
    );
    assert_eq!(
        code(sandboxd.delete_session("default")),
        (502, "session_error".into())
    );
    assert_eq!(sandboxd.run_in("default", &["cd", "/usr"]).1, 0);
    assert_eq!(
        code(sandboxd.delete_session("default")),
        (502, "session_error".into())
    );
    assert_eq!(sandboxd.run_in("default", &["pwd"]).0, "/usr\n");
    let fresh = sandboxd.run_in("s", &["pwd"]).0;
    assert_eq!(fresh.trim_end(), sandboxd.workspace.path().to_str().unwrap());
}

#[test]
fn a_deleted_session_ends_its_own_running_command_and_nothing_else() {
    let sandboxd = Sandboxd::start();
    let [background, own, daemon, other] = [(); 4].map(|()| unique_sleep());
    let left = format!("sleep {background} & true");
    assert_eq!(sandboxd.run_in("s", &["sh", "-c", &left]).1, 0);
    let script = format!("trap '' TERM; (setsid sleep {daemon} &); echo on; sleep {own}");
    let mut running = sandboxd.begin_in("s", &json!({"argv": ["sh", "-c", script]}));
    running.wait_for("on");
    let mut waiting = sandboxd.begin_in("s", &json!({"argv": ["touch", "never"]}));
    waiting.read_head();
    let mut others = sandboxd.begin_in(
        "t",
        &json!({"argv": ["sh", "-c", format!("echo on; sleep {other}")]}),
    );
    others.wait_for("on");
    assert_eq!(sandboxd.delete_session("s").0, 200);
    // When it is deleted, its command has ended.
    assert_eq!((sleeping(&own), sleeping(&daemon)), (vec![], vec![]));
    assert_eq!((sleeping(&background).len(), sleeping(&other).len()), (1, 1));
    let exit = running.rest().exit;
    assert_eq!((exit.exit_code, exit.signal.as_deref()), (137, Some("SIGKILL")));
    let last = waiting.next().unwrap();
    assert_eq!(last.kind, "error");
    assert!(
        last.data.contains("was deleted") && last.data.contains("session_error"),
        "{}",
        last.data
    );
    assert!(!sandboxd.workspace.path().join("never").exists());
    assert_eq!(sandboxd.run_in("s", &["echo", "anew"]).0, "anew\n");
}

#[test]
fn what_ends_early_changes_nothing() {
    let sandboxd = Sandboxd::start();
    assert_eq!(
        sandboxd
            .run_in("s", &["bash", "-c", "export A=1; cd /usr; f() { :; }"])
            .1,
        0
    );
    let as_before = || {
        let (text, _) = sandboxd.run_in("s", &["bash", "-c", "echo $A; pwd; declare -F"]);
        assert_eq!(text, "1\n/usr\ndeclare -f f\n");
    };
    let change = "export A=2; cd /; f() { echo 2; }; echo on";
    for shell in ["bash", "sh"] {
        let script = format!("{change}; sleep 60");
        let started = Instant::now();
        let output = sandboxd.exec_in("s", &json!({"argv": [shell, "-c", script], "timeout_ms": 400}));
        assert_eq!((output.code(), output.exit.timed_out), (124, true));
        assert!(
            started.elapsed() < Duration::from_millis(2400),
            "{:?}",
            started.elapsed()
        );
        as_before();
        let killed = format!("{change}; kill -9 $$");
        assert_eq!(
            sandboxd
                .exec_in("s", &json!({"argv": [shell, "-c", killed]}))
                .code(),
            137
        );
        as_before();
        let mut abandoned = sandboxd.begin_in("s", &json!({"argv": [shell, "-c", script]}));
        abandoned.wait_for("on");
        drop(abandoned);
        as_before();
        let id = format!("{shell}-ended");
        let mut ended = sandboxd.begin_in("s", &json!({"argv": [shell, "-c", script], "id": id}));
        ended.wait_for("on");
        sandboxd.request("DELETE", &format!("/process/{id}"));
        drop(ended);
        as_before();
        let replaced = format!("{change}; exec true");
        assert_eq!(
            sandboxd
                .exec_in("s", &json!({"argv": [shell, "-c", replaced]}))
                .code(),
            0
        );
        as_before();
    }
}

#[test]
fn a_background_child_lives_on_and_keeps_nothing_of_the_session() {
    let sandboxd = Sandboxd::start();
    let long = unique_sleep();
    for shell in ["bash", "sh"] {
        let script = format!("export A=1; sleep {long} & cd /usr");
        let output = sandboxd.exec_in("s", &json!({"argv": [shell, "-c", script]}));
        assert_eq!(output.code(), 0);
        assert!(output.took < Duration::from_secs(5), "{:?}", output.took);
    }
    assert_eq!(sandboxd.run_in("s", &["sh", "-c", "echo $A; pwd"]).0, "1\n/usr\n");
    assert_eq!(sleeping(&long).len(), 2);
    for pid in sleeping(&long) {
        for number in [230, 231] {
            let file = fs::metadata(format!("/proc/{pid}/fd/{number}"));
            assert_eq!(file.map_or(0, |file| file.len()), 0);
        }
    }
}

#[test]
fn a_thousand_sessions_and_no_more() {
    let sandboxd = Sandboxd::start();
    for n in 0..1000 {
        assert_eq!(
            sandboxd.create_session(&format!(r#"{{"id":"s{n}"}}"#)).0,
            200,
            "{n}"
        );
    }
    let (status, body) = sandboxd.create_session(r#"{"id":"more"}"#);
    assert_eq!((status, body["code"].as_str()), (503, Some("limit_exceeded")));
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .contains("the limit is 1000 (SANDBOX_MAX_SESSIONS)"),
        "{body}"
    );
    assert_eq!(sandboxd.create_session(r#"{"id":"s7"}"#).0, 200);
    assert_eq!(sandboxd.run_in("default", &["echo", "always"]).0, "always\n");
    assert_eq!(sandboxd.delete_session("s7").0, 200);
    assert_eq!(sandboxd.create_session(r#"{"id":"more"}"#).0, 200);
}

#[test]
fn a_session_made_used_and_deleted_a_thousand_times_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("TMPDIR", temporary.path());
    });
    let cycle = |n: usize| {
        let body = json!({"id": "s", "env": {"A": "x".repeat(5000)}}).to_string();
        assert_eq!(sandboxd.create_session(&body).0, 200);
        let script = format!("f() {{ :; }}; export B{n}=1; cd /tmp");
        assert_eq!(sandboxd.run_in("s", &["bash", "-c", &script]).1, 0);
        assert_eq!(sandboxd.delete_session("s").0, 200);
    };
    (0..100).for_each(cycle);
    let (memory, descriptors) = (sandboxd.resident_kib(), sandboxd.descriptors());
    (0..900).for_each(cycle);
    eventually("no command is left", || {
        sandboxd.zombies() == 0 && !sandboxd.activity().is_busy()
    });
    eventually("no descriptor is left", || sandboxd.descriptors() <= descriptors);
    let grown = sandboxd.resident_kib().saturating_sub(memory);
    // The commands stay in the list of processes.
    assert!(grown < 9 * 1024, "{grown} KiB more, of {memory}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(sandboxd.workspace.path()).unwrap().count(), 0);
}
