//! Processes are stopped for a moment while a directory is saved or restored.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Sandboxd, Terminal, eventually, signal_process, sleeping, unique_sleep};

/// Begins a save, and ends it.
fn save(sandboxd: &Sandboxd) {
    let (head, body) = sandboxd.send("POST /save", r#"{"dir":"/workspace"}"#);
    assert!(head.starts_with("http/1.1 200"), "{head}{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let path = format!("/save/{}", body["save"].as_str().unwrap());
    let (head, _) = sandboxd.request("DELETE", &path);
    assert!(head.starts_with("http/1.1 204"), "{head}");
}

fn state(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1[..1].to_owned()
}

#[test]
fn a_process_is_stopped_and_goes_on() {
    let sandboxd = Sandboxd::start();
    // A shell that is continued tells so.
    let script = "trap 'echo continued' CONT; echo ready; for i in $(seq 400); do sleep 0.05; done";
    let mut stream = sandboxd.begin(&json!({"argv": ["bash", "-c", script]}));
    stream.wait_for("ready\n");
    save(&sandboxd);
    stream.wait_for("continued\n");
    save(&sandboxd);
    stream.wait_for("continued\n");
}

#[test]
fn a_process_that_was_stopped_before_stays_so() {
    let sandboxd = Sandboxd::start();
    let duration = unique_sleep();
    let command = format!("sleep {duration} & echo $!; wait");
    let mut stream = sandboxd.begin(&json!({"argv": ["sh", "-c", command]}));
    stream.wait_for("\n");
    eventually("it runs", || sleeping(&duration).len() == 1);
    let pid = sleeping(&duration)[0];
    signal_process(pid, "STOP");
    eventually("it is stopped", || state(pid) == "T");
    save(&sandboxd);
    assert_eq!(state(pid), "T");
    signal_process(pid, "CONT");
    eventually("it goes on", || state(pid) == "S");
    save(&sandboxd);
    assert_eq!(state(pid), "S");
}

#[test]
fn a_shell_sees_nothing_of_it_in_its_jobs() {
    let sandboxd = Sandboxd::start();
    let mut terminal = Terminal::open(&sandboxd, "mode=shell&shell=bash");
    terminal.send("echo be'gins'; sleep 1.5; echo en'ded' $?\n");
    let mut output = terminal.wait_for("begins");
    for _ in 0..5 {
        save(&sandboxd);
    }
    output += &terminal.wait_for("ended 0");
    terminal.send("jobs; echo jo'bs'\n");
    output += &terminal.wait_for("jobs");
    assert!(!output.contains("Stopped"), "{output}");
}

#[test]
fn a_save_is_no_activity() {
    let sandboxd = Sandboxd::start();
    fs::create_dir(sandboxd.workspace.path().join(".sandbox")).unwrap();
    let hook = sandboxd.workspace.path().join(".sandbox/before-save");
    fs::write(&hook, "#!/bin/sh\nsleep 0.2\n").unwrap();
    std::process::Command::new("chmod")
        .arg("+x")
        .arg(&hook)
        .status()
        .unwrap();
    let before = sandboxd.activity();
    save(&sandboxd);
    let after = sandboxd.activity();
    assert!(!after.is_busy());
    let idle = after.idle_ms - before.idle_ms;
    let up = after.uptime_ms - before.uptime_ms;
    assert!(up >= 200 && idle.abs_diff(up) <= 1, "idle for {idle} of {up} ms");
}
