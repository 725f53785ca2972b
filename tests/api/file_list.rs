//! Directories are listed whole, in order, and without following links.

use std::collections::BTreeSet;

use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::file::path_of;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::sandbox;

#[tokio::test]
async fn entries_have_type_size_mode_owner_and_time() {
    let sandbox = sandbox().await;
    let script = "mkdir d; printf abc > f; chmod 640 f; touch -d 2026-01-31T12:00:00.5Z f; \
                  ln -s nowhere dangling; ln -s . self; mkfifo p; touch .hidden; id -u; id -g";
    let ids = sandbox.sh(script).await.text();
    let ids: Vec<u64> = ids.lines().map(|id| id.parse().unwrap()).collect();
    let page = sandbox.list("workspace").await;
    let entries = page["entries"].as_array().unwrap();
    let of = |name: &str| entries.iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!(page["path"], "/workspace");
    assert_eq!(
        of("f"),
        &json!({
            "name": "f", "path": "/workspace/f", "type": "file", "size": 3, "mode": "0640",
            "modifiedAt": "2026-01-31T12:00:00.500Z", "uid": ids[0], "gid": ids[1],
        })
    );
    let kinds: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["name"], &entry["type"]))
        .collect();
    let expected = json!([
        ["d", "directory"],
        ["dangling", "symlink"],
        ["f", "file"],
        ["p", "other"],
        ["self", "symlink"]
    ]);
    assert_eq!(json!(kinds), expected);
    assert_eq!(
        (&of("dangling")["target"], &of("self")["target"]),
        (&json!("nowhere"), &json!("."))
    );
    let all = sandbox.paths("workspace", "hidden=true").await;
    assert_eq!(all.first().unwrap(), "/workspace/.hidden");
    // A status is the same entry.
    assert_eq!(&ok(sandbox.stat("workspace/f").await).await, of("f"));
    assert_eq!(
        &ok(sandbox.stat("workspace/dangling").await).await,
        of("dangling")
    );
    let followed = ok(sandbox.stat("workspace/self?follow=true").await).await;
    assert_eq!(followed["type"], "directory");
    for path in [
        "workspace/none",
        "workspace/dangling?follow=true",
        "workspace/f/x",
    ] {
        assert_error(sandbox.stat(path).await, 404, "file_not_found").await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn names_of_any_kind_are_listed_and_those_that_are_no_utf8_counted() {
    let sandbox = sandbox().await;
    let long = "é".repeat(127) + "x";
    let names = [
        " ",
        "a b",
        "new\nline",
        "tab\t",
        "%25",
        "quote'\"`",
        "-rf",
        "*",
        "\\",
        &long,
        "日本",
    ];
    for name in names {
        let written = sandbox.put(&format!("workspace/n/{}", url(name)), "x").await;
        assert_eq!(written.status(), 200, "{name:?}");
    }
    sandbox.sh(r"cd n; touch $(printf 'bad\377') $(printf '\200'); mkdir $(printf 'dir\376'); touch $(printf 'dir\376')/inside").await;
    let page = sandbox.list("workspace/n").await;
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let listed: Vec<_> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!((json!(listed), &page["unnamed"]), (json!(expected), &json!(3)));
    let (entries, end) = sandbox.list_all("workspace/n?depth=9").await;
    assert_eq!(entries.len(), names.len());
    assert_eq!(end, json!({ "end": true, "entries": names.len(), "unnamed": 3 }));
    for name in names {
        let stat = ok(sandbox.stat(&format!("workspace/n/{}", url(name))).await).await;
        assert_eq!(stat["name"], name);
    }
    assert_eq!(sandbox.remove("workspace/n?recursive=true").await.status(), 200);
    assert_eq!(sandbox.sh("ls -A").await.text(), "");
    sandbox.destroy().await;
}

/// A name as it stands in a URL.
fn url(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn pages_follow_each_other_in_the_order_of_paths() {
    let sandbox = sandbox().await;
    let script = "for d in a a-b a.b b/c/d; do mkdir -p $d; \
                  for n in 1 2 3 4 5 6 7; do touch $d/f$n $d/g$n.txt; done; done; touch z a+";
    sandbox.sh(script).await;
    let found = sandbox
        .sh("find . -mindepth 1 | sed 's|^.|/workspace|' | LC_ALL=C sort")
        .await
        .text();
    let found: Vec<_> = found.lines().map(str::to_owned).collect();
    for limit in [1, 2, 7, 100, 1000] {
        let query = format!("depth=9&limit={limit}");
        assert_eq!(sandbox.paths("workspace", &query).await, found, "{limit}");
    }
    let to_depth = |depth: usize| {
        let of_depth = |path: &&String| path.matches('/').count() <= depth + 1;
        found.iter().filter(of_depth).cloned().collect::<Vec<_>>()
    };
    for depth in 1..=3 {
        assert_eq!(
            sandbox
                .paths("workspace", &format!("depth={depth}&limit=5"))
                .await,
            to_depth(depth)
        );
    }
    for (glob, matches) in [
        (
            "*.txt",
            Box::new(|path: &str| path.ends_with(".txt")) as Box<dyn Fn(&str) -> bool>,
        ),
        (
            "b/**/f?",
            Box::new(|path: &str| path.starts_with("/workspace/b/c/d/f")),
        ),
        (
            "{a,b}",
            Box::new(|path: &str| ["/workspace/a", "/workspace/b"].contains(&path)),
        ),
        ("nothing", Box::new(|_: &str| false)),
    ] {
        let expected: Vec<_> = found.iter().filter(|path| matches(path)).cloned().collect();
        let query = format!("depth=9&limit=3&glob={}", url(glob));
        assert_eq!(sandbox.paths("workspace", &query).await, expected, "{glob}");
        let (entries, _) = sandbox.list_all(&format!("workspace?{query}")).await;
        let mut entries: Vec<_> = entries.iter().map(path_of).collect();
        entries.sort();
        assert_eq!(entries, expected, "{glob}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_directory_of_100_000_entries_and_a_tree_500_deep_are_listed_and_removed() {
    let sandbox = sandbox().await;
    let script = "mkdir many deep; cd many; seq 100000 | xargs touch; cd ../deep; \
                  for i in $(seq 500); do mkdir d; cd d; done; touch end";
    assert_eq!(sandbox.sh(script).await.code(), 0);
    let (entries, end) = sandbox.list_all("workspace/many").await;
    let names: BTreeSet<_> = entries.iter().map(path_of).collect();
    assert_eq!((names.len(), &end["entries"]), (100_000, &json!(100_000)));
    let page = sandbox.list("workspace/many?limit=1000&cursor=99997").await;
    let last: Vec<_> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["name"])
        .collect();
    assert_eq!(
        (json!(last), &page["cursor"]),
        (json!(["99998", "99999"]), &Value::Null)
    );
    let (entries, _) = sandbox.list_all("workspace/deep?depth=1000").await;
    assert_eq!(entries.len(), 501);
    let end = format!("workspace/deep{}/end", "/d".repeat(500));
    assert_eq!(
        sandbox
            .paths("workspace/deep", "depth=1000&limit=1000&glob=end")
            .await,
        [format!("/{end}")]
    );
    assert_eq!(ok(sandbox.stat(&end).await).await["type"], "file");
    assert_eq!(sandbox.remove(&end).await.status(), 200);
    for path in ["workspace/many", "workspace/deep"] {
        assert_error(sandbox.remove(path).await, 400, "is_directory").await;
        assert_eq!(
            sandbox.remove(&format!("{path}?recursive=true")).await.status(),
            200
        );
        assert_error(sandbox.stat(path).await, 404, "file_not_found").await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn links_out_of_the_workspace_are_listed_and_not_entered() {
    let sandbox = sandbox().await;
    sandbox
        .sh("mkdir d; ln -s /etc d/etc; ln -s ../.. d/up; ln -s /workspace/d inside")
        .await;
    let paths = sandbox.paths("workspace", "depth=9").await;
    assert_eq!(
        paths,
        [
            "/workspace/d",
            "/workspace/d/etc",
            "/workspace/d/up",
            "/workspace/inside"
        ]
    );
    for path in ["workspace/d/etc", "workspace/d/up", "workspace/d/etc/passwd"] {
        let request = sandbox.request(Method::GET, &format!("/directory/{path}"));
        assert_error(request.send().await.unwrap(), 403, "invalid_request").await;
        assert_error(
            sandbox.stat(&format!("{path}?follow=true")).await,
            403,
            "invalid_request",
        )
        .await;
    }
    assert_eq!(ok(sandbox.stat("workspace/d/etc").await).await["target"], "/etc");
    // Links that stay inside are followed.
    assert_eq!(
        sandbox.paths("workspace/inside", "").await,
        ["/workspace/inside/etc", "/workspace/inside/up"]
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_sandbox_that_does_not_run_has_no_files_and_is_not_started() {
    let sandbox = sandbox().await;
    let page = sandbox.list("workspace/d").await;
    assert_eq!(page, json!({ "path": "/workspace/d", "entries": [] }));
    let (entries, end) = sandbox.list_all("workspace").await;
    assert_eq!(
        (entries.len(), end),
        (0, json!({ "end": true, "entries": 0, "unnamed": 0 }))
    );
    assert_error(sandbox.stat("workspace").await, 404, "file_not_found").await;
    assert_error(sandbox.remove("workspace/a").await, 404, "file_not_found").await;
    assert!(!sandbox.running().await);
    sandbox.destroy().await;
}

#[tokio::test]
async fn bad_requests_for_directories_are_refused() {
    let sandbox = sandbox().await;
    for (rest, word) in [
        ("workspace?depth=0", "depth must be"),
        ("workspace?depth=x", "depth must be"),
        ("workspace?limit=1001", "limit must be"),
        ("workspace?hidden=yes", "hidden must be"),
        ("workspace/a%00b", "NUL"),
    ] {
        let request = sandbox.request(Method::GET, &format!("/directory/{rest}"));
        let text = assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
        assert!(text.contains(word), "{rest}: {text}");
    }
    let request = sandbox.request(Method::GET, "/directory/etc");
    assert_error(request.send().await.unwrap(), 403, "invalid_request").await;
    let request = sandbox.request(Method::PUT, "/directory/workspace/d?mode=999");
    assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
    assert!(!sandbox.running().await);
    sandbox.put("workspace/f", "x").await;
    let request = sandbox.request(Method::GET, "/directory/workspace?glob=%7Ba");
    let text = assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
    assert!(text.contains("glob"), "{text}");
    let request = sandbox.request(Method::GET, "/directory/workspace/f");
    let text = assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
    assert!(text.contains("not a directory"), "{text}");
    let request = sandbox.request(Method::GET, "/directory/workspace/none");
    assert_error(request.send().await.unwrap(), 404, "file_not_found").await;
    sandbox.destroy().await;
}
