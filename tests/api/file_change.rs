//! Directories are created; files are moved, copied and removed.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::sandbox;

async fn make(sandbox: &Sandbox, rest: &str) -> Response {
    let request = sandbox.request(Method::PUT, &format!("/directory/{rest}"));
    request.send().await.unwrap()
}

#[tokio::test]
async fn directories_are_created_with_their_parents() {
    let sandbox = sandbox().await;
    let created = ok(make(&sandbox, "workspace/a/b/c?mode=0700").await).await;
    assert_eq!(created, json!({ "ok": true, "created": true }));
    let again = ok(make(&sandbox, "workspace/a/b/c?mode=0755").await).await;
    assert_eq!(again, json!({ "ok": true, "created": false }));
    assert_eq!(ok(make(&sandbox, "workspace").await).await["created"], false);
    let seen = sandbox.sh("stat -c '%a %U' a a/b a/b/c; id -un").await.text();
    let lines: Vec<_> = seen.lines().collect();
    let user = lines[3];
    assert_eq!(
        lines[..3],
        [
            format!("755 {user}"),
            format!("755 {user}"),
            format!("700 {user}")
        ]
    );
    sandbox.sh("echo x > f; ln -s a link").await;
    assert_error(make(&sandbox, "workspace/f").await, 409, "file_exists").await;
    assert_error(make(&sandbox, "workspace/f/d").await, 400, "invalid_request").await;
    assert_eq!(
        ok(make(&sandbox, "workspace/link/new").await).await["created"],
        true
    );
    assert_eq!(sandbox.sh("ls a").await.text(), "b\nnew\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn permissions_and_times_are_changed() {
    let sandbox = sandbox().await;
    sandbox.sh("echo x > f; ln -s f link; mkdir d").await;
    let patch = async |path: &str, body: Value| {
        let request = sandbox.request(Method::PATCH, &format!("/file/workspace/{path}"));
        request.json(&body).send().await.unwrap()
    };
    let entry = ok(patch(
        "f",
        json!({ "mode": "0751", "modifiedAt": "2001-02-03T04:05:06.789Z" }),
    )
    .await)
    .await;
    assert_eq!(
        (&entry["mode"], &entry["modifiedAt"]),
        (&json!("0751"), &json!("2001-02-03T04:05:06.789Z"))
    );
    let entry = ok(patch("link", json!({ "mode": "600" })).await).await;
    assert_eq!((&entry["mode"], &entry["type"]), (&json!("0600"), &json!("file")));
    assert_eq!(
        ok(patch("d", json!({ "mode": "0700" })).await).await["mode"],
        "0700"
    );
    assert_eq!(
        ok(patch("f", json!({})).await).await["modifiedAt"],
        "2001-02-03T04:05:06.789Z"
    );
    assert_error(
        patch("none", json!({ "mode": "0600" })).await,
        404,
        "file_not_found",
    )
    .await;
    for body in [
        json!({ "mode": "4755" }),
        json!({ "mode": 420 }),
        json!([]),
        json!({ "modifiedAt": "now" }),
    ] {
        assert_error(patch("f", body).await, 400, "invalid_request").await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn moves_replace_files_and_never_directories_with_content() {
    let sandbox = sandbox().await;
    sandbox
        .sh("echo 1 > a; echo 2 > b; mkdir d full empty; echo 3 > d/f; echo 4 > full/f; ln -s a link")
        .await;
    assert_eq!(sandbox.rename("a", "/workspace/new/deep/a").await.status(), 200);
    assert_eq!(
        sandbox.sh("cat new/deep/a; ls a 2>&1 | wc -l").await.text(),
        "1\n1\n"
    );
    // Over a file that a process has open: the process keeps the old one.
    let tail = sandbox
        .start_sh("exec 3< b; echo ready; read line; cat <&3")
        .await;
    tail.wait(&json!({ "for": "log", "pattern": "ready", "timeout_ms": 10_000 }))
        .await;
    assert_eq!(sandbox.rename("new/deep/a", "b").await.status(), 200);
    assert_eq!(sandbox.sh("cat b").await.text(), "1\n");
    tail.end().await;
    // Onto itself, and onto another name of the same file.
    assert_eq!(sandbox.rename("b", "./b").await.status(), 200);
    sandbox.sh("ln b hard").await;
    assert_eq!(sandbox.rename("b", "hard").await.status(), 200);
    assert_eq!(sandbox.sh("cat hard; ls b 2>/dev/null").await.text(), "1\n");
    let text = assert_error(sandbox.rename("d", "d/inside").await, 400, "invalid_request").await;
    assert!(text.contains("itself"), "{text}");
    for (from, to) in [
        ("d", "full"),
        ("hard", "d"),
        ("d", "hard"),
        ("hard", "empty"),
        ("empty", "hard"),
    ] {
        assert_error(sandbox.rename(from, to).await, 409, "file_exists").await;
    }
    let body = json!({ "from": "hard", "to": "link", "overwrite": false });
    assert_error(sandbox.post("/move", &body).await, 409, "file_exists").await;
    assert_eq!(sandbox.rename("d", "empty").await.status(), 200);
    assert_eq!(sandbox.sh("cat empty/f full/f hard").await.text(), "3\n4\n1\n");
    // A link is moved itself, and replaced itself.
    assert_eq!(sandbox.rename("link", "moved").await.status(), 200);
    assert_eq!(sandbox.sh("readlink moved").await.text(), "a\n");
    assert_eq!(sandbox.rename("hard", "moved").await.status(), 200);
    assert_eq!(sandbox.sh("cat moved").await.text(), "1\n");
    for (from, to, status, code) in [
        ("none", "x", 404, "file_not_found"),
        ("/workspace", "x", 400, "invalid_request"),
        ("moved", "/workspace", 400, "invalid_request"),
        ("moved", "full/f/x", 400, "invalid_request"),
        ("/etc/passwd", "x", 403, "invalid_request"),
        ("moved", "/tmp/x", 403, "invalid_request"),
    ] {
        assert_error(sandbox.rename(from, to).await, status, code).await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn copies_are_whole_and_keep_links_modes_and_the_original() {
    let sandbox = sandbox().await;
    let script = "mkdir -p t/sub/empty; echo one > t/f; printf '#!/bin/sh\\necho ran\\n' > t/run; chmod 755 t/run; \
                  ln -s f t/link; ln -s /etc/passwd t/out; ln -s . t/self; mkfifo t/pipe; \
                  chmod 555 t/sub; truncate -s 1G t/sparse; ln -s t/f top";
    sandbox.sh(script).await;
    let copied = ok(sandbox.copy("t", "c/t2").await).await;
    assert_eq!(copied, json!({ "ok": true }));
    let same = sandbox
        .sh("cd t && find . | LC_ALL=C sort > ../one; cd ../c/t2 && find . | LC_ALL=C sort > ../../two; cd ../..; \
             cmp one two && ./c/t2/run; readlink c/t2/link c/t2/out c/t2/self; stat -c '%a %F' c/t2/sub c/t2/run c/t2/pipe; \
             cat t/f; du -k c/t2/sparse | cut -f 1; stat -c %U c/t2/f; id -un")
        .await
        .text();
    let lines: Vec<_> = same.lines().collect();
    assert_eq!(
        lines[..8],
        [
            "ran",
            "f",
            "/etc/passwd",
            ".",
            "555 directory",
            "755 regular file",
            "644 fifo",
            "one"
        ],
        "{same}"
    );
    assert!(lines[8].parse::<u64>().unwrap() < 1024, "{same}");
    assert_eq!(lines[9], lines[10], "{same}");
    // A link at the path is followed.
    assert_eq!(sandbox.copy("top", "plain").await.status(), 200);
    assert_eq!(
        sandbox.sh("stat -c %F plain; cat plain").await.text(),
        "regular file\none\n"
    );
    assert_eq!(sandbox.copy("plain", "plain").await.status(), 200);
    let body = json!({ "from": "t", "to": "x" });
    assert_error(sandbox.post("/copy", &body).await, 400, "is_directory").await;
    for (from, to, status, code) in [
        ("t", "c/t2", 409, "file_exists"),
        ("t", "plain", 409, "file_exists"),
        ("plain", "t", 409, "file_exists"),
        ("t", "t/sub2/inside", 400, "invalid_request"),
        ("t/pipe", "x", 200, ""),
        ("t/out", "x", 403, "invalid_request"),
        ("none", "x", 404, "file_not_found"),
    ] {
        let response = sandbox.copy(from, to).await;
        if status == 200 {
            assert_eq!(response.status(), 200);
        } else {
            assert_error(response, status, code).await;
        }
    }
    let body = json!({ "from": "plain", "to": "c/new", "overwrite": false });
    assert_eq!(sandbox.post("/copy", &body).await.status(), 200);
    assert_error(sandbox.post("/copy", &body).await, 409, "file_exists").await;
    let left = sandbox.sh("find . -name '.sandbar*'").await.text();
    assert_eq!(left, "", "nothing unfinished is left");
    sandbox.destroy().await;
}

#[tokio::test]
async fn deletes_remove_links_and_not_what_they_lead_to() {
    let sandbox = sandbox().await;
    sandbox
        .sh(
            "mkdir -p d/sub keep; echo x > keep/f; ln -s ../keep d/link; ln -s /etc d/etc; mkfifo d/p; \
             chmod 000 d/sub; ln -s keep link; ln -s none dangling; echo y > f",
        )
        .await;
    for path in ["link", "dangling", "f"] {
        let removed = ok(sandbox.remove(&format!("workspace/{path}")).await).await;
        assert_eq!(removed, json!({ "ok": true }), "{path}");
    }
    assert_eq!(sandbox.remove("workspace/d?recursive=true").await.status(), 200);
    assert_eq!(sandbox.sh("ls -A; cat keep/f").await.text(), "keep\nx\n");
    assert_error(sandbox.remove("workspace/f").await, 404, "file_not_found").await;
    assert_error(sandbox.remove("workspace/keep/f/x").await, 404, "file_not_found").await;
    let root = sandbox.remove("workspace?recursive=true").await;
    assert_error(root, 400, "invalid_request").await;
    let twice = [
        sandbox.remove("workspace/keep?recursive=true"),
        sandbox.remove("workspace/keep?recursive=true"),
    ];
    let statuses = futures_util::future::join_all(twice).await;
    let mut statuses: Vec<_> = statuses
        .iter()
        .map(|response| response.status().as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_directory_is_removed_while_commands_write_in_it() {
    let sandbox = sandbox().await;
    let script = "mkdir d; echo ready; i=0; while mkdir -p d/$i 2>/dev/null && echo x > d/$i/f; do i=$((i+1)); done; echo over";
    let writer = sandbox.start_sh(script).await;
    writer
        .wait(&json!({ "for": "log", "pattern": "ready", "timeout_ms": 10_000 }))
        .await;
    let deadline = Instant::now() + Duration::from_secs(20);
    // Each attempt removes what is there; the writer makes the directory again with its parents.
    let removed = sandbox.remove("workspace/d?recursive=true").await;
    assert!([200, 502].contains(&removed.status().as_u16()));
    writer.end().await;
    loop {
        let removed = sandbox.remove("workspace/d?recursive=true").await.status();
        if removed == 200 || removed == 404 {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    assert_eq!(sandbox.sh("ls -A").await.text(), "");
    sandbox.destroy().await;
}

#[tokio::test]
async fn uploads_have_modes_and_are_appended_whole() {
    let sandbox = sandbox().await;
    assert_eq!(
        sandbox
            .put("workspace/run?mode=0755", "#!/bin/sh\necho ran\n")
            .await
            .status(),
        200
    );
    assert_eq!(sandbox.sh("./run; stat -c %a run").await.text(), "ran\n755\n");
    assert_eq!(sandbox.put("workspace/run?mode=600", "x").await.status(), 200);
    assert_eq!(sandbox.sh("stat -c %a run").await.text(), "600\n");
    assert_eq!(
        sandbox.put("workspace/log?append=true", "one\n").await.status(),
        200
    );
    let inode = sandbox.sh("stat -c %i log").await.text();
    let large = "y".repeat(3_000_000) + "\n";
    assert_eq!(
        sandbox.put("workspace/log?append=true", large).await.status(),
        200
    );
    assert_eq!(
        sandbox.sh("stat -c %i log").await.text(),
        inode,
        "its inode is kept"
    );
    assert_eq!(
        sandbox.sh("head -n 1 log; wc -c < log").await.text(),
        "one\n3000005\n"
    );
    let appends = (0..40).map(|i| sandbox.put("workspace/lines?append=true", format!("{i:0>2000}\n")));
    for response in futures_util::future::join_all(appends).await {
        assert_eq!(response.status(), 200);
    }
    let whole = sandbox
        .sh("grep -cE '^[0-9]{2000}$' lines; sort -u lines | wc -l; ls -A | wc -l")
        .await
        .text();
    assert_eq!(whole, "40\n40\n3\n");
    sandbox.sh("mkdir d").await;
    assert_error(
        sandbox.put("workspace/d?append=true", "x").await,
        400,
        "is_directory",
    )
    .await;
    assert_error(
        sandbox.put("workspace/f?append=maybe", "x").await,
        400,
        "invalid_request",
    )
    .await;
    assert_error(
        sandbox.put("workspace/f?mode=rwx", "x").await,
        400,
        "invalid_request",
    )
    .await;
    sandbox.destroy().await;
}
