//! Copies of files that commands write at the same time.

use std::time::{Duration, Instant};

use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use serde_json::json;

use crate::sandbox;

/// Copies `f` for some seconds and several times while `writer` runs, alone and in its directory, and
/// gives each copy to `check`.
async fn copy_while(sandbox: &Sandbox, writer: &str, check: impl Fn(&[u8])) {
    let writer = format!("mkdir -p d; echo ready; cd d; while :; do {writer}; done");
    let writer = sandbox.start_sh(&writer).await;
    writer
        .wait(&json!({ "for": "log", "pattern": "ready", "timeout_ms": 10_000 }))
        .await;
    let started = Instant::now();
    let mut copies = 0;
    while started.elapsed() < Duration::from_secs(2) || copies < 5 {
        assert!(started.elapsed() < Duration::from_secs(60), "{copies} copies");
        for (from, to, copy) in [("d/f", "copy", "copy"), ("d", "tree", "tree/f")] {
            let status = sandbox.copy(from, to).await.status();
            // The file is not there yet.
            assert!(status == 200 || status == 404, "{status}");
            let copied = sandbox.get(&format!("workspace/{copy}")).await;
            if copied.status() == 200 {
                check(&copied.bytes().await.unwrap());
                copies += 1;
            }
            sandbox.remove(&format!("workspace/{to}?recursive=true")).await;
        }
    }
    writer.end().await;
}

#[tokio::test]
async fn a_copy_of_a_file_that_is_replaced_is_one_of_its_versions() {
    let sandbox = sandbox().await;
    let writer = "for x in a b; do head -c 3000000 /dev/zero | tr '\\0' $x > new; mv new f; done";
    copy_while(&sandbox, writer, |copy| {
        assert_eq!(copy.len(), 3_000_000);
        let first = copy[0];
        assert!([b'a', b'b'].contains(&first) && copy.iter().all(|byte| *byte == first));
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_copy_of_a_file_that_grows_is_its_beginning() {
    let sandbox = sandbox().await;
    let writer = "seq -f '%099.0f' 1 20000 > start; cat start >> f; rm start; [ $(wc -c < f) -lt 50000000 ] || sleep 1";
    copy_while(&sandbox, writer, |copy| {
        let lines = copy.chunks(100).enumerate();
        for (i, line) in lines {
            let expected = format!("{:099}\n", i % 20_000 + 1);
            assert_eq!(line, &expected.as_bytes()[..line.len()], "line {i}");
        }
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_copy_of_a_file_that_is_truncated_has_only_bytes_of_the_file() {
    let sandbox = sandbox().await;
    let writer = "for x in a b; do head -c 9000000 /dev/zero | tr '\\0' $x > f; done";
    copy_while(&sandbox, writer, |copy| {
        assert!(copy.len() <= 9_000_000);
        let other = copy.iter().find(|byte| ![b'a', b'b'].contains(byte));
        assert_eq!(other, None);
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_refused_request_makes_no_directories() {
    let sandbox = sandbox().await;
    sandbox.sh("mkdir d; echo x > d/f; echo y > g").await;
    for to in ["d/new/sub", "d/new"] {
        for response in [sandbox.rename("d", to).await, sandbox.copy("d", to).await] {
            let text = assert_error(response, 400, "invalid_request").await;
            assert!(text.contains("into itself"), "{text}");
        }
    }
    for route in ["/move", "/copy"] {
        for path in ["g", "d"] {
            let body = json!({ "from": path, "to": path, "overwrite": false, "recursive": true });
            assert_error(sandbox.post(route, &body).await, 409, "file_exists").await;
        }
    }
    assert_eq!(
        sandbox.sh("find . | LC_ALL=C sort").await.text(),
        ".\n./d\n./d/f\n./g\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn files_far_below_are_written_moved_copied_and_edited() {
    let sandbox = sandbox().await;
    let deep = "d/".repeat(400);
    sandbox.sh(&format!("mkdir -p {deep}; echo top > top")).await;
    for query in ["", "?append=true", "?in_place=true"] {
        let put = sandbox.put(&format!("workspace/{deep}f{query}"), "text").await;
        assert_eq!(put.status(), 200, "{query}");
    }
    let edits = json!([{ "path": format!("{deep}f"), "edits": [{ "old": "text", "new": "edited" }] }]);
    let edited = sandbox.post("/edit", &json!({ "files": edits })).await;
    assert_eq!(edited.status(), 200);
    assert_eq!(
        sandbox
            .rename(&format!("{deep}f"), &format!("{deep}g"))
            .await
            .status(),
        200
    );
    assert_eq!(sandbox.copy("top", &format!("{deep}top")).await.status(), 200);
    let make = format!("/directory/workspace/{deep}made");
    let made = sandbox.request(Method::PUT, &make).send().await.unwrap();
    assert_eq!(made.status(), 200);
    let found = sandbox.sh(&format!("cd {deep} && cat g top && ls")).await.text();
    assert_eq!(found, "editedtop\ng\nmade\ntop\n");
    // More missing directories than are made, none of which is.
    let put = sandbox
        .put(&format!("workspace/{}f", "n/".repeat(400)), "x")
        .await;
    assert_error(put, 400, "invalid_request").await;
    assert_eq!(sandbox.sh("ls").await.text(), "d\ntop\n");
    sandbox.destroy().await;
}
