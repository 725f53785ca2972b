//! Signals to processes, and their ends.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::Process;
use sandbar_tests::client::assert_error;
use sandbar_tests::kill::kill_sandboxd;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::exec_end::{family, sleepers};
use crate::{bridge, eventually, sandbox};

pub async fn wait_for_output(process: &Process, pattern: &str) {
    let result = process
        .wait(&json!({ "for": "log", "pattern": pattern, "timeout_ms": 20_000 }))
        .await;
    assert_eq!(result["state"], "matched", "{result}");
}

#[tokio::test]
async fn a_signal_goes_to_the_whole_tree() {
    let sandbox = sandbox().await;
    let member =
        |on_signal: &str| format!("trap '{on_signal}; exit 0' USR1; echo up; while :; do sleep 0.02; done");
    let script = format!(
        "bash -c \"{}\" & setsid bash -c \"{}\" & {}",
        member("echo child"),
        member("echo other session"),
        // Its end is the end of the log.
        member("wait; echo parent"),
    );
    let process = sandbox.start(&json!({ "command": script })).await;
    wait_for_output(&process, r"(?s)up\n.*up\n.*up\n").await;
    assert_eq!(process.signal("SIGUSR1").await.status(), 204);
    process.exit().await;
    let output = process.text("?stream=stdout").await;
    let output = String::from_utf8(output).unwrap();
    let (children, last) = output.rsplit_once('\n').unwrap().0.rsplit_once('\n').unwrap();
    assert!(
        children.contains("child") && children.contains("other session"),
        "{output}"
    );
    assert_eq!(last, "parent");
    assert_error(process.signal("SIGUSR1").await, 409, "process_ended").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn signals_have_names_and_numbers() {
    let sandbox = sandbox().await;
    for (signal, name) in [
        (json!("SIGINT"), "SIGINT"),
        (json!("TERM"), "SIGTERM"),
        (json!(9), "SIGKILL"),
    ] {
        let process = sandbox.start(&json!({ "argv": ["sleep", "60"] })).await;
        assert_eq!(process.signal(signal).await.status(), 204);
        assert_eq!(process.exit().await["signal"], name);
    }
    let process = sandbox
        .start_sh("trap 'echo caught' RTMIN+2 2>/dev/null; while :; do sleep 0.02; done")
        .await;
    for signal in ["SIGSTOP", "SIGCONT"] {
        assert_eq!(process.signal(signal).await.status(), 204, "{signal}");
    }
    assert_eq!(process.show().await["state"], "running");
    sandbox.destroy().await;
}

#[tokio::test]
async fn deleting_a_process_ends_grandchildren_in_sessions_of_their_own() {
    let sandbox = sandbox().await;
    let process = sandbox.start_sh(&family(4201)).await;
    wait_for_output(&process, "up").await;
    let follower = process.log("?follow=true").await;
    assert_eq!(sleepers(&sandbox, 4201).await, 3);
    assert_eq!(process.end().await, 204);
    assert_eq!(sleepers(&sandbox, 4201).await, 0);
    assert!(follower.finish().await.exit.is_some(), "a follower gets the end");
    for (method, rest) in [(Method::GET, ""), (Method::GET, "/log"), (Method::DELETE, "")] {
        let response = process.request(method, rest).send().await.unwrap();
        assert_error(response, 404, "process_not_found").await;
    }
    // Also those that outlive it.
    let process = sandbox
        .start_sh("setsid sleep 4202 > /dev/null & sleep 0.1; echo up")
        .await;
    assert_eq!(process.exit().await["exit_code"], 0);
    assert_eq!(sleepers(&sandbox, 4202).await, 1);
    assert_eq!(process.end().await, 204);
    assert_eq!(sleepers(&sandbox, 4202).await, 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn deleting_a_process_lets_it_clean_up() {
    let sandbox = sandbox().await;
    let script =
        "trap 'sleep 0.3; echo cleaned > result; exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let process = sandbox.start_sh(script).await;
    wait_for_output(&process, "up").await;
    let response = process.request(Method::DELETE, "").send().await.unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(
        sandbox.get("workspace/result").await.text().await.unwrap(),
        "cleaned\n"
    );
    // One that does not want to end is killed.
    let deaf = sandbox
        .start_sh("trap '' TERM; echo up; sleep 4203 & while :; do sleep 0.02; done")
        .await;
    wait_for_output(&deaf, "up").await;
    let started = Instant::now();
    let response = deaf
        .request(Method::DELETE, "?grace_ms=300")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 204);
    assert!(started.elapsed() >= Duration::from_millis(300) && started.elapsed() < Duration::from_secs(5));
    assert_eq!(sleepers(&sandbox, 4203).await, 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn deleting_a_process_does_not_wait_for_a_client_that_reads_nothing() {
    let sandbox = sandbox().await;
    for script in ["yes", "head -c 50000000 /dev/zero; sleep 60"] {
        let unread = sandbox.exec_json(&json!({ "argv": ["sh", "-c", script] })).await;
        let id = unread.headers()["process-id"].to_str().unwrap().to_owned();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let process = sandbox.process(&id);
        let signal = tokio::time::timeout(Duration::from_secs(10), process.signal("SIGCONT"));
        assert_eq!(signal.await.expect("an answer in time").status(), 204);
        let end = tokio::time::timeout(Duration::from_secs(10), process.end());
        assert_eq!(end.await.expect("an answer in time"), 204);
        drop(unread);
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_end_of_a_command_is_known_although_its_client_reads_nothing() {
    let sandbox = sandbox().await;
    let unread = sandbox
        .exec_json(&json!({ "argv": ["sh", "-c", "head -c 90000000 /dev/zero; exec sleep 60"] }))
        .await;
    let id = unread.headers()["process-id"].to_str().unwrap().to_owned();
    let process = sandbox.process(&id);
    // The answer begins before the program is started, and until then a signal only prevents the start.
    wait_for_output(&process, r"\x00").await;
    assert_eq!(process.signal("SIGKILL").await.status(), 204);
    let exit = tokio::time::timeout(Duration::from_secs(10), process.exit());
    assert_eq!(exit.await.expect("the exit in time")["signal"], "SIGKILL");
    assert_eq!(process.show().await["state"], "exited");
    drop(unread);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_grace_can_be_shortened() {
    let sandbox = sandbox().await;
    let deaf = sandbox
        .start_sh("trap '' TERM; echo up; while :; do sleep 0.02; done")
        .await;
    wait_for_output(&deaf, "up").await;
    let started = Instant::now();
    let patient = deaf.request(Method::DELETE, "?grace_ms=60000").send();
    let short = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        deaf.end().await
    };
    let (patient, short) = futures_util::future::join(patient, short).await;
    assert_eq!((patient.unwrap().status().as_u16(), short.as_u16()), (204, 204));
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn deleting_all_processes_ends_every_command() {
    let sandbox = sandbox().await;
    sandbox.sh("true").await;
    for _ in 0..3 {
        sandbox.start(&json!({ "argv": ["sleep", "4204"] })).await;
    }
    let mut exec = sandbox
        .stream(&json!({ "argv": ["sh", "-c", "echo up; sleep 4204"] }))
        .await;
    exec.next().await.unwrap().unwrap();
    let end_all = || async {
        let request = sandbox.request(Method::DELETE, "/process?grace_ms=0");
        ok(request.send().await.unwrap()).await
    };
    assert_eq!(end_all().await, json!({ "ended": 4 }));
    assert!(exec.finish().await.exit.unwrap()["signal"].is_string());
    assert_eq!(sandbox.processes("").await, Vec::<Value>::new());
    assert_eq!(sleepers(&sandbox, 4204).await, 0);
    assert_eq!(end_all().await, json!({ "ended": 0 }));
    sandbox.destroy().await;
}

#[tokio::test]
async fn ends_of_others_touch_no_process() {
    let sandbox = sandbox().await;
    let create = sandbox.post("/session", &json!({ "id": "s" })).await;
    assert_eq!(create.status(), 200);
    let request = sandbox
        .request(Method::POST, "/process")
        .header("Session-Id", "s");
    let request = request.json(&json!({ "argv": ["sleep", "4205"] }));
    let record = ok(request.send().await.unwrap()).await;
    let process = sandbox.process(record["id"].as_str().unwrap());

    let late = sandbox
        .exec(&json!({ "argv": ["sleep", "60"], "timeout_ms": 100 }))
        .await;
    assert_eq!(late.code(), 124);
    let mut leaving = sandbox
        .stream(&json!({ "argv": ["sh", "-c", "echo up; sleep 4206"] }))
        .await;
    leaving.next().await.unwrap().unwrap();
    drop(leaving);
    drop(process.log("?follow=true").await);
    eventually("the command without a client ends", || async {
        sleepers(&sandbox, 4206).await == 0
    })
    .await;
    let deleted = sandbox
        .request(Method::DELETE, "/session/s")
        .send()
        .await
        .unwrap();
    assert!(deleted.status().is_success());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(process.show().await["state"], "running");
    assert_eq!(sleepers(&sandbox, 4205).await, 1);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_timeout_ends_a_process_too() {
    let sandbox = sandbox().await;
    let body = json!({ "argv": ["sh", "-c", family(4207)], "timeout_ms": 1000 });
    let process = sandbox.start(&body).await;
    let exit = process.exit().await;
    assert_eq!(
        (&exit["exit_code"], &exit["timed_out"]),
        (&json!(124), &json!(true))
    );
    assert_eq!(sleepers(&sandbox, 4207).await, 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn looking_and_ending_start_no_sandbox() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.processes("").await, Vec::<Value>::new());
    assert_eq!(sandbox.processes("?state=running").await, Vec::<Value>::new());
    for (method, rest) in [
        (Method::GET, ""),
        (Method::GET, "/log"),
        (Method::GET, "/log?follow=true"),
        (Method::DELETE, ""),
    ] {
        let response = sandbox.process("p").request(method, rest).send().await.unwrap();
        assert_error(response, 404, "process_not_found").await;
    }
    for (rest, body) in [
        ("/signal", json!({ "signal": "SIGTERM" })),
        ("/wait", json!({ "for": "exit" })),
        ("/stdin", json!({})),
    ] {
        let response = sandbox.process("p").request(Method::POST, rest).json(&body);
        assert_error(response.send().await.unwrap(), 404, "process_not_found").await;
    }
    let all = sandbox.request(Method::DELETE, "/process").send().await.unwrap();
    assert_eq!(ok(all).await, json!({ "ended": 0 }));
    assert!(!sandbox.running().await);
    sandbox.destroy().await;
}

#[tokio::test]
async fn after_a_kill_of_sandboxd_its_processes_are_gone() {
    if !bridge().is_local && !bridge().has_containers {
        eprintln!("skipped: only a sandboxd of this machine can be killed from here");
        return;
    }
    let sandbox = sandbox().await;
    let process = sandbox.start(&json!({ "argv": ["sleep", "4208"] })).await;
    let boot = sandbox.boot_id().await;
    let follower = process.log("?follow=true").await;
    kill_sandboxd(&boot);
    follower.finish().await.assert_broken_off();
    let show = || async { process.request(Method::GET, "").send().await.unwrap() };
    // 503 while the end of the sandbox is not known yet.
    eventually("it is known", || async { show().await.status() != 503 }).await;
    assert_error(show().await, 404, "process_not_found").await;
    assert!(!sandbox.running().await, "asking does not start it");
    assert_ne!(sandbox.boot_id().await, boot);
    assert_eq!(sleepers(&sandbox, 4208).await, 0);
    let response = process.request(Method::GET, "").send().await.unwrap();
    assert_error(response, 404, "process_not_found").await;
    sandbox.destroy().await;
}
