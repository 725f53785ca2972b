//! The form and the bytes of a command's stream.

use std::time::Duration;

use sandbar_tests::file::sha256;
use sandbar_tests::sse::Item;
use serde_json::json;

use crate::sandbox;

#[tokio::test]
async fn the_stream_has_the_headers_and_the_form_of_the_contract() {
    let sandbox = sandbox().await;
    let response = sandbox
        .exec_json(&json!({ "argv": ["sh", "-c", "echo out; echo err >&2"] }))
        .await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let text = response.text().await.unwrap();
    assert!(text.contains("event: stdout\ndata: b3V0Cg==\n\n"), "{text}");
    assert!(text.contains("event: stderr\ndata: ZXJyCg==\n\n"), "{text}");
    assert!(
        text.ends_with("id: 3\nevent: exit\ndata: {\"exit_code\":0}\n\n"),
        "{text}"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn every_byte_is_exact() {
    let sandbox = sandbox().await;
    let all: Vec<u8> = (0..=255).cycle().take(256 * 1024 + 77).collect();
    assert_eq!(sandbox.put("workspace/all", all.clone()).await.status(), 200);
    let finished = sandbox.sh("cat all; cat all >&2").await;
    assert!(finished.stdout == all && finished.stderr == all);
    sandbox.destroy().await;
}

#[tokio::test]
async fn text_is_cut_between_characters() {
    let sandbox = sandbox().await;
    let text = "é日🦀x".repeat(30_000);
    sandbox.put("workspace/text", text.clone()).await;
    let mut events = sandbox
        .stream(&json!({ "argv": ["sh", "-c", "head -c 11 text; sleep 0.02; tail -c +12 text"] }))
        .await;
    let mut got = String::new();
    while let Some(item) = events.next().await {
        if let Item::Output(_, bytes) = item.unwrap() {
            got.push_str(std::str::from_utf8(&bytes).expect("whole characters"));
        }
    }
    assert!(got == text);
    let half = sandbox.sh("printf '\\303'; sleep 1; printf '\\251'").await;
    assert_eq!(
        half.text(),
        "é",
        "half a character is sent when no more comes, and nothing is lost"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn large_output_is_complete_with_its_exit() {
    let sandbox = sandbox().await;
    let script = "head -c 100000000 /dev/urandom | tee random";
    let finished = sandbox.sh(script).await;
    assert_eq!((finished.stdout.len(), finished.code()), (100_000_000, 0));
    let sum = sandbox.sh("sha256sum random | cut -d ' ' -f 1").await;
    let digest = sha256(&finished.stdout);
    assert_eq!(sum.text().trim(), digest);
    sandbox.destroy().await;
}

#[tokio::test]
async fn output_arrives_while_the_command_runs() {
    let sandbox = sandbox().await;
    let mut events = sandbox.stream(&json!({ "argv": ["sh", "-c", "echo first; while [ ! -e go ]; do sleep 0.05; done; echo second"] })).await;
    assert_eq!(
        events.next().await.unwrap().unwrap(),
        Item::Output(false, b"first\n".to_vec())
    );
    sandbox.put("workspace/go", "").await;
    let rest = events.finish().await;
    assert_eq!((rest.text().as_str(), rest.code()), ("second\n", 0));
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_silent_stream_carries_comments() {
    let sandbox = sandbox().await;
    let finished = sandbox.sh("sleep 12; echo done").await;
    assert_eq!((finished.text().as_str(), finished.code()), ("done\n", 0));
    assert!(finished.comments >= 2, "{} comments in 12 s", finished.comments);
    assert!(
        finished.longest_silence < Duration::from_secs(10),
        "{:?}",
        finished.longest_silence
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_makes_the_command_wait() {
    let sandbox = sandbox().await;
    let script = "i=0; while :; do head -c 1048576 /dev/zero; i=$((i+1)); echo $i > progress; done";
    let response = sandbox.exec_json(&json!({ "argv": ["sh", "-c", script] })).await;
    assert_eq!(response.status(), 200);
    // Waits until the count of MiB written stands still for a second.
    let mut mib = String::new();
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = sandbox.get("workspace/progress").await.text().await.unwrap();
        if now == mib {
            break;
        }
        mib = now;
    }
    let mib: u64 = mib.trim().parse().unwrap();
    assert!(mib < 200, "{mib} MiB went into buffers");
    drop(response);
    sandbox.destroy().await;
}

#[tokio::test]
async fn one_stuck_command_leaves_the_others_alone() {
    let sandbox = sandbox().await;
    let stuck = sandbox
        .exec_json(&json!({ "argv": ["sh", "-c", "trap '' TERM; yes"] }))
        .await;
    for i in 0..20 {
        assert_eq!(sandbox.sh(&format!("echo {i}")).await.text(), format!("{i}\n"));
    }
    drop(stuck);
    sandbox.destroy().await;
}
