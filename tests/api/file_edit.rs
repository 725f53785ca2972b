//! Edits: all or nothing, and none is lost.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Response;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::sandbox;

async fn edit(sandbox: &Sandbox, files: Value) -> Response {
    sandbox.post("/edit", &json!({ "files": files })).await
}

fn one(path: &str, old: &str, new: &str) -> Value {
    json!({ "path": path, "edits": [{ "old": old, "new": new }] })
}

#[tokio::test]
async fn texts_are_replaced_in_all_files_and_attributes_kept() {
    let sandbox = sandbox().await;
    sandbox
        .sh("printf 'a b a' > one; chmod 751 one; printf 'x\\ny\\r\\n' > two; ln -s two link")
        .await;
    let edits = json!([
        { "path": "one", "edits": [{ "old": "a", "new": "<a>", "all": true }, { "old": "b <", "new": "B<" }] },
        one("/workspace/link", "y\r\n", "é\n"),
    ]);
    let edited = ok(edit(&sandbox, edits).await).await;
    let files = edited["files"].as_array().unwrap();
    assert_eq!(
        (&files[0]["path"], &files[0]["replaced"]),
        (&json!("/workspace/one"), &json!(3))
    );
    assert_eq!(
        (&files[1]["path"], &files[1]["replaced"]),
        (&json!("/workspace/link"), &json!(1))
    );
    let seen = sandbox
        .sh("cat one two; stat -c %a one; readlink link; ls -A")
        .await
        .text();
    assert_eq!(seen, "<a> B<a>x\né\n751\ntwo\nlink\none\ntwo\n");
    for file in files {
        let path = file["path"].as_str().unwrap().trim_start_matches('/');
        let read = sandbox.get(path).await;
        assert_eq!(
            read.headers()["etag"].to_str().unwrap(),
            file["etag"].as_str().unwrap()
        );
    }
    // Bytes that are no text stay.
    sandbox.sh(r"printf '\377old\000' > bytes").await;
    assert_eq!(
        edit(&sandbox, json!([one("bytes", "old", "new")])).await.status(),
        200
    );
    assert_eq!(
        sandbox.get("workspace/bytes").await.bytes().await.unwrap(),
        &b"\xffnew\0"[..]
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn when_one_edit_does_not_fit_no_file_changes() {
    let sandbox = sandbox().await;
    let script = "echo one > a; echo two two > b; mkdir d; ln -s /etc/passwd out; mkfifo p; ls -Ai > list; cat a b > texts";
    sandbox.sh(script).await;
    let first = one("a", "one", "changed");
    for (second, found) in [(one("b", "two", "x"), 2), (one("b", "none", "x"), 0)] {
        let response = edit(&sandbox, json!([first, second])).await;
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let parts = (&body["code"], &body["path"], &body["edit"], &body["found"]);
        assert_eq!(json!(parts), json!(["edit_mismatch", "/workspace/b", 0, found]));
    }
    let wrong_tag =
        json!({ "path": "b", "edits": [{ "old": "two two", "new": "x" }], "ifMatch": "\"other\"" });
    for (second, status, code) in [
        (wrong_tag, 412, "precondition_failed"),
        (one("none", "a", "b"), 404, "file_not_found"),
        (one("d", "a", "b"), 400, "is_directory"),
        (one("p", "a", "b"), 400, "invalid_request"),
        (one("out", "root", "b"), 403, "invalid_request"),
        (one("/etc/passwd", "root", "b"), 403, "invalid_request"),
        (one("./a", "one", "b"), 400, "invalid_request"),
        (json!({ "path": "b" }), 400, "invalid_request"),
    ] {
        assert_error(edit(&sandbox, json!([first, second])).await, status, code).await;
    }
    sandbox.sh("ln -s a same").await;
    let twice = edit(&sandbox, json!([first, one("same", "one", "x")])).await;
    assert_error(twice, 400, "invalid_request").await;
    let same = sandbox.sh("rm same; cat a b | cmp - texts && rm texts && ls -Ai | grep -v texts > /tmp/now; grep -v texts list | cmp - /tmp/now && echo same");
    assert_eq!(
        same.await.text(),
        "same\n",
        "no file was replaced, and nothing is left"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn occurrences_are_counted_in_little_time_and_what_is_too_large_is_refused() {
    let sandbox = sandbox().await;
    let script = "head -c 30000000 /dev/zero | tr '\\0' a > same; truncate -s 200M large; ls -A";
    assert_eq!(sandbox.sh(script).await.text(), "large\nsame\n");
    let started = Instant::now();
    let half = one("same", &"a".repeat(7_000_000), "b");
    let body: Value = edit(&sandbox, json!([half])).await.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["found"]),
        (&json!("edit_mismatch"), &json!(4))
    );
    // Seconds at most: it was minutes when each place was tried.
    assert!(started.elapsed() < Duration::from_secs(20));
    let all = json!({ "path": "same", "edits": [{ "old": "a", "new": "b".repeat(1000), "all": true }] });
    for files in [json!([all]), json!([one("large", "a", "b")])] {
        let text = assert_error(edit(&sandbox, files).await, 400, "invalid_request").await;
        assert!(text.contains("too large"), "{text}");
    }
    assert_eq!(
        sandbox.sh("ls -A; wc -c < same").await.text(),
        "large\nsame\n30000000\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn of_1000_edits_by_8_clients_none_is_lost() {
    // A bridge of its own: thousands of lines would push those of other tests out of the log.
    let sandbox = Client::new(&Bridge::start(&[])).create().await;
    sandbox.put("workspace/n", "end").await;
    let clients = (0..8).map(|client: usize| {
        let sandbox = sandbox.clone();
        async move {
            let mut tag: Option<String> = None;
            for i in 0..125 {
                loop {
                    let if_match = match tag.take() {
                        Some(tag) => tag,
                        None => {
                            let read = sandbox.get("workspace/n").await;
                            read.headers()["etag"].to_str().unwrap().to_owned()
                        }
                    };
                    let new = format!("{client}.{i}\nend");
                    let file =
                        json!({ "path": "n", "edits": [{ "old": "end", "new": new }], "ifMatch": if_match });
                    let response = edit(&sandbox, json!([file])).await;
                    match response.status().as_u16() {
                        200 => {
                            let edited = ok(response).await;
                            // The tag of an edit is good for the next one.
                            tag = edited["files"][0]["etag"].as_str().map(str::to_owned);
                            break;
                        }
                        412 => {}
                        status => panic!("{status}: {}", response.text().await.unwrap()),
                    }
                }
            }
        }
    });
    join_all(clients).await;
    let text = sandbox.get("workspace/n").await.text().await.unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected: Vec<_> = (0..8)
        .flat_map(|client| (0..125).map(move |i| format!("{client}.{i}")))
        .collect();
    expected.push("end".into());
    expected.sort();
    assert_eq!(lines, expected);
    // A client alone continues with the tag of its own edit, without a read between.
    let mut tag = sandbox.put("workspace/m", "0").await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    for i in 0..50 {
        let edits = json!([{ "old": i.to_string(), "new": (i + 1).to_string() }]);
        let file = json!({ "path": "m", "edits": edits, "ifMatch": tag });
        let edited = ok(edit(&sandbox, json!([file])).await).await;
        edited["files"][0]["etag"].as_str().unwrap().clone_into(&mut tag);
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn edits_of_the_same_files_in_any_order_do_not_mix() {
    let sandbox = sandbox().await;
    sandbox.sh("echo start > a; echo start > b").await;
    let edits = (0..40).map(|i| {
        let sandbox = sandbox.clone();
        async move {
            let (first, second) = if i % 2 == 0 { ("a", "b") } else { ("b", "a") };
            let append = |path: &str| one(path, "start\n", &format!("start\n{i:0>2}\n"));
            edit(&sandbox, json!([append(first), append(second)]))
                .await
                .status()
        }
    });
    assert!(join_all(edits).await.iter().all(|status| *status == 200));
    assert_eq!(sandbox.sh("cmp a b && wc -l < a").await.text(), "41\n");
    sandbox.destroy().await;
}
