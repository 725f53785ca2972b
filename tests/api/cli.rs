//! The command line: running commands.

use std::fs::File;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use sandbar_tests::command_line::{command, run, run_with};
use sandbar_tests::file::sha256;
use sandbar_tests::process::ok;
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::{bridge, client, eventually, sandbox};

fn interrupt(child: &Child) {
    let pid = child
        .id()
        .and_then(|pid| Pid::from_raw(pid as i32))
        .expect("a process");
    kill_process(pid, Signal::INT).unwrap();
}

/// The sandboxes with a label.
async fn labelled(value: &str) -> Vec<Value> {
    let path = format!("/v1/sandbox?label=cli:{value}");
    let page = ok(client().request(Method::GET, &path).send().await.unwrap()).await;
    page["sandboxes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn exec_passes_on_output_and_exit_code() {
    let sandbox = sandbox().await;
    let script = "echo out; echo err >&2; exit 7";
    let ran = run(bridge(), &["exec", &sandbox.id, "--", "sh", "-c", script]).await;
    assert_eq!(
        (ran.code, &*ran.stdout, &*ran.stderr),
        (Some(7), b"out\n".as_slice(), "err\n")
    );
    let ran = run(
        bridge(),
        &[
            "exec",
            &sandbox.id,
            "-e",
            "A=b c",
            "--cwd",
            "/",
            "-c",
            "echo $A; pwd",
        ],
    )
    .await;
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.stderr.starts_with("sandbar: cwd must"), "{ran:?}");
    let ran = run(
        bridge(),
        &["exec", &sandbox.id, "-e", "A=b c", "-c", "echo $A; pwd"],
    )
    .await;
    assert_eq!(ran.text(), "b c\n/workspace");
    for (line, code) in [("kill -9 $$", 137), ("no-such-program-here", 127)] {
        assert_eq!(
            run(bridge(), &["exec", &sandbox.id, "-c", line]).await.code,
            Some(code),
            "{line}"
        );
    }
    let ran = run(
        bridge(),
        &["exec", &sandbox.id, "--timeout", "200ms", "sleep", "60"],
    )
    .await;
    assert_eq!(ran.code, Some(124));
    // /dev/null is no pipe.
    let ran = run(bridge(), &["exec", &sandbox.id, "-c", "readlink /proc/self/fd/0"]).await;
    assert_eq!(ran.text(), "/dev/null");
    sandbox.destroy().await;
}

#[tokio::test]
async fn input_and_output_of_several_mib_are_exact() {
    let sandbox = sandbox().await;
    let bytes: Vec<u8> = (0..2_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    let exec = command(
        bridge(),
        &[
            "exec",
            &sandbox.id,
            "--",
            "sh",
            "-c",
            "tee copy; sha256sum <copy >&2; exit 3",
        ],
    );
    let ran = run_with(exec, &bridge().key, Some(bytes.clone())).await;
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stdout == bytes, "{} bytes", ran.stdout.len());
    let digest = sha256(&bytes);
    assert!(ran.stderr.starts_with(&digest), "{}", ran.stderr);
    // A command that reads nothing of it.
    let exec = command(bridge(), &["exec", &sandbox.id, "true"]);
    assert_eq!(run_with(exec, &bridge().key, Some(bytes)).await.code, Some(0));
    sandbox.destroy().await;
}

#[tokio::test]
async fn run_destroys_its_sandbox_and_keep_does_not() {
    let label = format!("cli=run-{}", std::process::id());
    let value = label.split_once('=').unwrap().1;
    let options = ["run", "--label", &label, "--env", "GREETING=hello"];
    let arguments = [&options[..], &["--", "sh", "-c", "echo $GREETING; exit 5"]].concat();
    let ran = run(bridge(), &arguments).await;
    assert_eq!(
        (ran.code, &*ran.stdout),
        (Some(5), b"hello\n".as_slice()),
        "{ran:?}"
    );
    assert_eq!(ran.stderr, "");
    assert!(labelled(value).await.is_empty());
    let kept = run(bridge(), &[&options[..], &["--keep", "true"]].concat()).await;
    let id = kept.stderr.trim().rsplit(' ').next().unwrap();
    assert_eq!(labelled(value).await[0]["id"], id, "{kept:?}");
    assert_eq!(run(bridge(), &["rm", id]).await.text(), "");
    assert!(labelled(value).await.is_empty());
}

#[tokio::test]
async fn create_names_its_sandbox_also_when_the_output_is_full() {
    let mut create = command(bridge(), &["create", "--label", "cli=full"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let create = create.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let created = create.wait_with_output().await.unwrap();
    let stderr = String::from_utf8(created.stderr).unwrap();
    assert_eq!(created.status.code(), Some(1), "{stderr}");
    let id = stderr
        .lines()
        .next()
        .and_then(|line| line.rsplit(' ').next())
        .unwrap();
    assert_eq!(run(bridge(), &["rm", id]).await.code, Some(0), "{stderr}");
}

#[tokio::test]
async fn run_does_not_destroy_a_sandbox_that_was_there() {
    let name = format!("cli-{}", std::process::id());
    let id = run(bridge(), &["create", "--name", &name]).await.text();
    let ran = run(bridge(), &["run", "--name", &name, "true"]).await;
    assert_eq!(ran.code, Some(125), "{ran:?}");
    let ran = run(bridge(), &["run", "--name", &name, "--keep", "true"]).await;
    assert_eq!((ran.code, ran.stderr.contains(&id)), (Some(0), true), "{ran:?}");
    assert_eq!(
        client()
            .sandbox(&id)
            .request(Method::GET, "")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(run(bridge(), &["rm", &id]).await.code, Some(0));
    assert_eq!(
        run(bridge(), &["run", "--name", &name, "true"]).await.code,
        Some(0)
    );
}

#[tokio::test]
async fn ctrl_c_ends_the_command_and_destroys_the_sandbox() {
    let label = format!("cli=interrupt-{}", std::process::id());
    let script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    for (script, expected, code) in [
        (script, "interrupted", 9),
        // Ignores it: the second one ends it.
        ("trap '' INT; echo ready; while :; do sleep 0.05; done", "", 130),
    ] {
        let mut child = command(bridge(), &["run", "--label", &label, "--", "bash", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        interrupt(&child);
        if expected.is_empty() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            interrupt(&child);
        } else {
            assert_eq!(lines.next_line().await.unwrap().as_deref(), Some(expected));
        }
        assert_eq!(child.wait().await.unwrap().code(), Some(code));
        assert!(labelled(label.split_once('=').unwrap().1).await.is_empty());
    }
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_command() {
    let sandbox = sandbox().await;
    let started = Instant::now();
    let mut child = command(bridge(), &["exec", &sandbox.id, "yes"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("y"));
    drop(lines);
    assert_eq!(child.wait().await.unwrap().code(), Some(141));
    eventually("the end of yes", async || {
        sandbox.sh("pgrep -x yes").await.code() != 0
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(20));
    sandbox.destroy().await;
}
