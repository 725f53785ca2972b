//! The command line over connections that break.

use std::time::Duration;

use sandbar_tests::command_line::{command, run, run_with};
use sandbar_tests::cut::CutProxy;
use sandbar_tests::file::sha256;

use crate::{bridge, eventually, sandbox};

#[tokio::test]
async fn a_command_goes_on_over_connections_that_break() {
    let (sandbox, proxy) = (sandbox().await, CutProxy::new(bridge()));
    let script =
        "echo ran >>count; for i in $(seq 60); do echo line $i; echo error $i >&2; sleep 0.03; done; exit 4";
    let running = command(&proxy.bridge, &["exec", &sandbox.id, "-c", script]);
    let running = tokio::spawn(run_with(running, &bridge().key, None));
    eventually("a start", async || sandbox.sh("test -s count").await.code() == 0).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.cut();
    }
    let ran = running.await.unwrap();
    let lines = |word: &str| (1..=60).map(|i| format!("{word} {i}\n")).collect::<String>();
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert_eq!(
        (String::from_utf8_lossy(&ran.stdout).into_owned(), ran.stderr),
        (lines("line"), lines("error"))
    );
    assert_eq!(sandbox.sh("cat count").await.text(), "ran\n");
    assert!(proxy.accepted() > 4, "{}", proxy.accepted());
    sandbox.destroy().await;
}

#[tokio::test]
async fn input_is_written_once_over_connections_that_break() {
    let (sandbox, proxy) = (sandbox().await, CutProxy::new(bridge()));
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    // Reads slowly enough to be cut several times.
    let reader = "import sys, time, hashlib\nh = hashlib.sha256()\n\
                  while b := sys.stdin.buffer.read(262144): h.update(b); time.sleep(0.02)\nprint(h.hexdigest())";
    let running = command(
        &proxy.bridge,
        &["exec", &sandbox.id, "--", "python3", "-c", reader],
    );
    let running = tokio::spawn(run_with(running, &bridge().key, Some(bytes.clone())));
    while !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.cut();
    }
    assert_eq!(running.await.unwrap().text(), sha256(&bytes));
    assert!(proxy.accepted() > 4, "{}", proxy.accepted());
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_log_and_copies_go_on_over_connections_that_break() {
    let (sandbox, proxy) = (sandbox().await, CutProxy::new(bridge()));
    let line = "for i in $(seq 60); do echo line $i; sleep 0.03; done";
    let process = run(bridge(), &["exec", "-d", &sandbox.id, "-c", line])
        .await
        .text();
    let log = command(&proxy.bridge, &["logs", "-f", &sandbox.id, &process]);
    let log = tokio::spawn(run_with(log, &bridge().key, None));
    while !log.is_finished() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.cut();
    }
    let lines: String = (1..=60).map(|i| format!("line {i}\n")).collect();
    assert_eq!(log.await.unwrap().text() + "\n", lines);
    // Continued from where it broke off: it takes longer than a connection lasts.
    assert_eq!(sandbox.sh("seq 8000000 >numbers").await.code(), 0);
    let source = format!("{}:numbers", sandbox.id);
    let copy = command(&proxy.bridge, &["cp", &source, "-"]);
    let copy = tokio::spawn(run_with(copy, &bridge().key, None));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(120)).await;
        proxy.cut();
    }
    let copied = copy.await.unwrap();
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    let there = sandbox.sh("sha256sum numbers | cut -d ' ' -f 1").await.text();
    assert_eq!(sha256(&copied.stdout), there.trim());
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_bridge_that_cannot_be_reached_is_one_line() {
    let nobody = sandbar_tests::Bridge::at("http://127.0.0.1:9", "a-secret-key".to_owned());
    for (arguments, code) in [
        (&["exec", "abc", "true"][..], 125),
        (&["run", "true"], 125),
        (&["ls"], 1),
    ] {
        let ran = run(&nobody, arguments).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(
            ran.stderr.starts_with("sandbar: the bridge cannot be reached: "),
            "{ran:?}"
        );
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}
