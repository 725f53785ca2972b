//! Terminals that are left, lost or held up.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use sandbar_tests::docker::{container_of, docker};
use sandbar_tests::{Sandbox, Terminal};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::{eventually, sandbox};

/// How many processes of the sandbox are `sleep DURATION`.
async fn sleeping(sandbox: &Sandbox, duration: &str) -> usize {
    let count = sandbox.sh(&format!("pgrep -fxc 'sleep {duration}'")).await.text();
    count.trim().parse().unwrap()
}

#[tokio::test]
async fn a_client_that_leaves_takes_everything_with_it() {
    let sandbox = sandbox().await;
    for (n, how) in ["drop", "close"].into_iter().enumerate() {
        let mark = format!("86400.{n}71");
        let line = format!(
            "trap 'echo >hung-up-{n}' HUP; (setsid nohup sleep {mark} >/dev/null 2>&1 &); echo started; sleep {mark}"
        );
        let mut terminal = Terminal::run(&sandbox, &line).await;
        terminal.wait_for("started\n").await;
        eventually("they run", || async { sleeping(&sandbox, &mark).await >= 2 }).await;
        let left = Instant::now();
        if how == "close" {
            terminal.socket.close(None).await.unwrap();
        }
        drop(terminal);
        eventually("nothing is left", || async {
            sleeping(&sandbox, &mark).await == 0
        })
        .await;
        assert!(
            left.elapsed() < Duration::from_secs(15),
            "a generous bound: {:?}",
            left.elapsed()
        );
        let heard = sandbox.get(&format!("workspace/hung-up-{n}")).await;
        assert_eq!(heard.status(), 200, "SIGHUP came first");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_leaves_what_it_did_not_read() {
    let sandbox = sandbox().await;
    let mark = "86400.373";
    let mut terminal = Terminal::run(&sandbox, &format!("sleep {mark} & exec yes")).await;
    terminal.wait_for("y\n").await;
    sleep(Duration::from_secs(2)).await;
    drop(terminal);
    eventually("nothing is left", || async {
        sleeping(&sandbox, mark).await == 0
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_leaves_input_that_nobody_read() {
    let sandbox = sandbox().await;
    let mark = "86400.374";
    let mut terminal = Terminal::run(&sandbox, &format!("echo started; exec sleep {mark}")).await;
    terminal.wait_for("started\n").await;
    for _ in 0..10 {
        terminal.send("0123456789abcdef\n".repeat(1000)).await;
    }
    drop(terminal);
    eventually("nothing is left", || async {
        sleeping(&sandbox, mark).await == 0
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_program_waits_for_its_client_and_a_client_for_its_program() {
    let sandbox = sandbox().await;
    // A client that does not read.
    let line = "i=0; while head -c 1000000 /dev/zero; do i=$((i+1)); echo $i >written; done";
    let mut unread = Terminal::run(&sandbox, line).await;
    let written = async || sandbox.sh("cat written").await.text();
    let (mut before, mut last) = (None, String::new());
    while before.as_ref() != Some(&last) {
        sleep(Duration::from_millis(700)).await;
        before = Some(std::mem::replace(&mut last, written().await));
        assert!(last.len() < 4, "it does not wait: {last} MB");
    }
    unread.frame().await;

    // A program that does not read.
    let mut untaken = Terminal::run(&sandbox, "echo started; exec sleep 600").await;
    untaken.wait_for("started\n").await;
    let frame = "0123456789abcdef\n".repeat(4000);
    let mut sent = 0;
    while sent < 100_000_000 {
        let send = untaken.socket.send(Message::binary(frame.clone()));
        match timeout(Duration::from_secs(3), send).await {
            Ok(result) => result.unwrap(),
            Err(_) => break,
        }
        sent += frame.len();
    }
    assert!(sent < 100_000_000, "all of it was taken");
    // Others go on meanwhile.
    assert_eq!(sandbox.sh("echo here").await.text(), "here\n");
    drop(unread);
    eventually("it is gone", || async {
        sandbox.sh("pgrep -x head").await.text().is_empty()
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection() {
    let sandbox = sandbox().await;
    let mut terminal = Terminal::run(&sandbox, "echo started; cat").await;
    terminal.wait_for("started\n").await;
    let _ = terminal.socket.send(Message::binary(vec![b'x'; 2 << 20])).await;
    let ended = terminal.finish().await;
    ended.assert_broken_off();
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_destroyed_sandbox_is_no_exit() {
    for line in ["echo y; exec sleep 600", "yes"] {
        let sandbox = sandbox().await;
        let mut terminal = Terminal::run(&sandbox, line).await;
        terminal.wait_for("y\n").await;
        sandbox.destroy().await;
        terminal.finish().await.assert_broken_off();
        assert!(!sandbox.running().await);
    }
}

#[tokio::test]
async fn a_killed_container_is_no_exit() {
    if !crate::bridge().has_containers {
        eprintln!("skipped: the sandboxes of this bridge are not containers of this machine");
        return;
    }
    let sandbox = sandbox().await;
    let boot = sandbox.boot_id().await;
    let mut terminal = Terminal::run(&sandbox, "echo started; exec sleep 600").await;
    terminal.wait_for("started\n").await;
    docker(&["kill", &container_of(&boot).expect("its container")]);
    terminal.finish().await.assert_broken_off();
    let ended = Terminal::run(&sandbox, "echo again").await.finish().await;
    assert_eq!((ended.text().as_str(), ended.code()), ("again\n", 0));
    sandbox.destroy().await;
}
