//! The command line: lists, processes, logs, signals and snapshots.

use sandbar_tests::command_line::{command, run, run_with};
use serde_json::Value;

use crate::{bridge, sandbox};

async fn json(arguments: &[&str]) -> Vec<Value> {
    serde_json::from_str(&run(bridge(), arguments).await.text()).unwrap()
}

#[tokio::test]
async fn sandboxes_are_created_listed_and_removed() {
    let label = format!("cli-list=is {}", std::process::id());
    let file = std::env::temp_dir().join(format!("sandbar-env-{}", std::process::id()));
    std::fs::write(&file, "# a comment\nFROM_FILE=1=2\n\nBOTH=file\n").unwrap();
    let options = [
        "--env-file",
        file.to_str().unwrap(),
        "--env",
        "BOTH=option",
        "--label",
        &label,
    ];
    let id = run(bridge(), &[&["create"], &options[..]].concat()).await.text();
    std::fs::remove_file(&file).unwrap();
    let ran = run(bridge(), &["exec", &id, "-c", "echo $FROM_FILE $BOTH"]).await;
    assert_eq!(ran.text(), "1=2 option");
    let table = run(bridge(), &["ls", "--label", &label]).await.text();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(
        lines[0].starts_with("ID ") && lines[1].starts_with(&id) && lines[1].ends_with(&label),
        "{table}"
    );
    let listed = json(&["ls", "--label", &label, "--json"]).await;
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &Value::from(id.clone())));
    let ran = run(bridge(), &["rm", &id, "not-an-id"]).await;
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    assert_eq!(run(bridge(), &["rm", &id]).await.text(), "");
    assert!(json(&["ls", "--label", &label, "--json"]).await.is_empty());
}

#[tokio::test]
async fn processes_have_a_list_a_log_and_signals() {
    let sandbox = sandbox().await;
    let id = &sandbox.id;
    let script = "echo one; echo two >&2; trap 'echo \"got it\"; exit 6' USR1; while :; do sleep 0.05; done";
    let process = run(bridge(), &["exec", "-d", id, "--", "bash", "-c", script])
        .await
        .text();
    sandbox
        .request(reqwest::Method::POST, &format!("/process/{process}/wait"))
        .json(&serde_json::json!({ "for": "log", "pattern": "two" }))
        .send()
        .await
        .unwrap();
    let log = run(bridge(), &["logs", id, &process]).await;
    assert_eq!(
        (log.code, &*log.stdout, &*log.stderr),
        (Some(0), b"one\n".as_slice(), "two\n")
    );
    let table = run(bridge(), &["ps", id, "--running"]).await.text();
    assert!(
        table
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with(&process)),
        "{table}"
    );
    let following = tokio::spawn(run_with(
        command(bridge(), &["logs", "-f", id, &process]),
        &bridge().key,
        None,
    ));
    assert_eq!(
        run(bridge(), &["kill", id, &process, "-s", "usr1"]).await.text(),
        ""
    );
    assert_eq!(following.await.unwrap().stdout, b"one\ngot it\n");
    assert_eq!(json(&["ps", id, "--json"]).await[0]["exit"]["exit_code"], 6);
    assert_eq!(
        run(bridge(), &["ps", id, "--running"])
            .await
            .text()
            .lines()
            .count(),
        1
    );
    for arguments in [["kill", id, &process], ["logs", id, "missing"]] {
        let ran = run(bridge(), &arguments).await;
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    }
    // The terminal gets no control characters of a command line.
    run(bridge(), &["exec", id, "true", "\u{1b}[2J\nsecond line"]).await;
    let table = run(bridge(), &["ps", id]).await.text();
    assert!(!table.contains('\u{1b}') && table.lines().count() == 3, "{table}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn snapshots_are_made_listed_restored_and_deleted() {
    let sandbox = sandbox().await;
    let id = &sandbox.id;
    run(bridge(), &["exec", id, "-c", "echo old >file"]).await.text();
    let snapshot = run(bridge(), &["snap", id, "--name", "a name", "--ttl", "1h"])
        .await
        .text();
    run(bridge(), &["exec", id, "-c", "echo new >file"]).await.text();
    let listed = json(&["snap", "ls", "--sandbox", id, "--json"]).await;
    assert_eq!(
        (listed.len(), &listed[0]["id"]),
        (1, &Value::from(snapshot.clone()))
    );
    let table = run(bridge(), &["snap", "ls", "--sandbox", id]).await.text();
    assert!(table.ends_with("/workspace  a name"), "{table}");
    assert_eq!(
        run(bridge(), &["snap", "restore", id, &snapshot]).await.text(),
        ""
    );
    assert_eq!(run(bridge(), &["exec", id, "cat", "file"]).await.text(), "old");
    assert_eq!(run(bridge(), &["snap", "rm", &snapshot]).await.text(), "");
    let ran = run(bridge(), &["snap", "restore", id, &snapshot]).await;
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    sandbox.destroy().await;
}
