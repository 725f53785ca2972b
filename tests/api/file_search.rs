//! Searches find every line that matches, and nothing else.

use reqwest::{Method, Response};
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use sandbar_tests::file::lines;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::sandbox;

async fn search(sandbox: &Sandbox, body: Value) -> Value {
    ok(sandbox.post("/search", &body).await).await
}

async fn stream(sandbox: &Sandbox, body: &Value) -> Response {
    let request = sandbox.request(Method::POST, "/search");
    let request = request.header("accept", "application/x-ndjson").json(body);
    request.send().await.unwrap()
}

/// The matches as `path:line`, relative to the workspace.
fn locations(result: &Value) -> Vec<String> {
    let location = |found: &Value| {
        let path = found["path"].as_str().unwrap().trim_start_matches("/workspace/");
        format!("{path}:{}", found["line"])
    };
    result["matches"]
        .as_array()
        .unwrap()
        .iter()
        .map(location)
        .collect()
}

const TREE: &str = r"
mkdir -p src/sub vendor .git build; cd src
printf 'one\nneedle two\nthree a.c\nfour NEEDLE\n' > a.txt
printf 'abc a+c needle\n' > 'b c.rs'
printf 'x\n' > sub/empty; printf 'needle' > sub/last; cd ..
printf 'needle\0\n' > binary; printf 'needle\n' > vendor/v.txt; printf 'needle\n' > .hidden
printf 'needle\n' > .git/x; printf 'needle\n' > build/out.o; printf 'needle\n' > build/keep.o; printf 'needle\n' > skipped.log
printf '*.log\n/vendor\n' > .gitignore; printf '*.o\n!keep.o\n' > build/.gitignore
ln -s src/a.txt link; ln -s /etc etc; mkfifo p";

#[tokio::test]
async fn matches_have_places_and_context() {
    let sandbox = sandbox().await;
    sandbox.sh(TREE).await;
    let all = search(&sandbox, json!({ "pattern": "needle" })).await;
    let expected = ["build/keep.o:1", "src/a.txt:2", "src/b c.rs:1", "src/sub/last:1"];
    assert_eq!(
        (locations(&all), &all["truncated"]),
        (expected.map(str::to_owned).to_vec(), &json!(false))
    );
    let found = search(
        &sandbox,
        json!({ "pattern": "two", "path": "src/a.txt", "context": 1 }),
    )
    .await;
    assert_eq!(
        found["matches"],
        json!([{ "path": "/workspace/src/a.txt", "line": 2, "column": 8, "text": "needle two",
                 "before": ["one"], "after": ["three a.c"] }])
    );
    for (body, expected) in [
        (json!({ "pattern": "a.c", "path": "src" }), &["src/a.txt:3"][..]),
        (
            json!({ "pattern": "a.c", "path": "src", "regex": true }),
            &["src/a.txt:3", "src/b c.rs:1"],
        ),
        (json!({ "pattern": "a+c" }), &["src/b c.rs:1"]),
        (
            json!({ "pattern": "^needle$", "regex": true, "path": "src" }),
            &["src/sub/last:1"],
        ),
        (
            json!({ "pattern": "needle", "ignoreCase": true, "path": "/workspace/src/a.txt" }),
            &["src/a.txt:2", "src/a.txt:4"],
        ),
        (json!({ "pattern": "needle", "glob": "*.txt" }), &["src/a.txt:2"]),
        (
            json!({ "pattern": "needle", "glob": ["src/**", "!*.rs"] }),
            &["src/a.txt:2", "src/sub/last:1"],
        ),
        (
            json!({ "pattern": "needle", "glob": "*.log", "gitignore": false }),
            &["skipped.log:1"],
        ),
        (
            json!({ "pattern": "needle", "hidden": true, "glob": "!build" }),
            &[
                ".git/x:1",
                ".hidden:1",
                "src/a.txt:2",
                "src/b c.rs:1",
                "src/sub/last:1",
            ],
        ),
        (
            json!({ "pattern": "needle", "path": "vendor" }),
            &["vendor/v.txt:1"],
        ),
        (
            json!({ "pattern": "needle", "path": "build" }),
            &["build/keep.o:1"],
        ),
        (
            json!({ "pattern": "root", "hidden": true, "gitignore": false }),
            &[],
        ),
        (json!({ "pattern": "nowhere" }), &[]),
    ] {
        assert_eq!(
            locations(&search(&sandbox, body.clone()).await),
            expected,
            "{body}"
        );
    }
    let unignored = search(&sandbox, json!({ "pattern": "needle", "gitignore": false })).await;
    assert_eq!(unignored["matches"].as_array().unwrap().len(), 7);
    sandbox.destroy().await;
}

#[tokio::test]
async fn answers_are_limited_and_streams_are_not() {
    let sandbox = sandbox().await;
    let script = "for d in 1 2 3 4 5; do mkdir $d; for f in $(seq 40); do yes 'a line' | head -n 50 > $d/$f; done; done";
    sandbox.sh(script).await;
    let first = search(&sandbox, json!({ "pattern": "line" })).await;
    assert_eq!(
        (locations(&first).len(), &first["truncated"]),
        (1000, &json!(true))
    );
    let few = search(&sandbox, json!({ "pattern": "line", "maxResults": 3 })).await;
    assert_eq!((locations(&few).len(), &few["truncated"]), (3, &json!(true)));
    let exactly = search(&sandbox, json!({ "pattern": "line", "maxResults": 10_000 })).await;
    assert_eq!(
        (locations(&exactly).len(), &exactly["truncated"]),
        (10_000, &json!(false))
    );
    let (matches, end) = lines(stream(&sandbox, &json!({ "pattern": "line", "context": 1 })).await).await;
    assert_eq!(
        (matches.len(), end),
        (
            10_000,
            json!({ "end": true, "matches": 10_000, "truncated": false })
        )
    );
    let (matches, end) = lines(stream(&sandbox, &json!({ "pattern": "line", "maxResults": 7 })).await).await;
    assert_eq!(
        (matches.len(), end),
        (7, json!({ "end": true, "matches": 7, "truncated": true }))
    );
    let (matches, end) = lines(stream(&sandbox, &json!({ "pattern": "nothing" })).await).await;
    assert_eq!(
        (matches.len(), end),
        (0, json!({ "end": true, "matches": 0, "truncated": false }))
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_column_is_that_of_the_match_also_at_the_end_of_a_line() {
    let sandbox = sandbox().await;
    sandbox.sh("printf 'foo\\nbaz foo\\nfoox\\n\\nend' > f").await;
    for (pattern, expected) in [
        ("foo$", &[(1, 1), (2, 5)][..]),
        ("^foo", &[(1, 1), (3, 1)]),
        ("o\\b", &[(1, 3), (2, 7)]),
        ("$", &[(1, 4), (2, 8), (3, 5), (4, 1), (5, 4)]),
        ("^$", &[(4, 1)]),
        ("x*", &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]),
    ] {
        let found = search(&sandbox, json!({ "pattern": pattern, "regex": true })).await;
        let places = found["matches"].as_array().unwrap().iter();
        let places: Vec<_> = places
            .map(|found| (found["line"].as_u64().unwrap(), found["column"].as_u64().unwrap()))
            .collect();
        assert_eq!(places, expected, "{pattern}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn bad_searches_are_refused() {
    let sandbox = sandbox().await;
    for (body, word) in [
        (json!({}), "pattern"),
        (json!({ "pattern": "" }), "pattern"),
        (json!({ "pattern": "a", "glob": 7 }), "glob"),
        (json!({ "pattern": "a", "context": 1000 }), "context"),
    ] {
        let text = assert_error(sandbox.post("/search", &body).await, 400, "invalid_request").await;
        assert!(text.contains(word), "{text}");
    }
    let outside = json!({ "pattern": "a", "path": "/etc" });
    assert_error(sandbox.post("/search", &outside).await, 403, "invalid_request").await;
    assert_eq!(
        search(&sandbox, json!({ "pattern": "a" })).await,
        json!({ "matches": [], "truncated": false })
    );
    let (_, end) = lines(stream(&sandbox, &json!({ "pattern": "a" })).await).await;
    assert_eq!(end["matches"], 0);
    assert!(!sandbox.running().await, "a search starts no sandbox");
    sandbox.sh("ln -s /etc out").await;
    for (body, status, code, word) in [
        (
            json!({ "pattern": "a(", "regex": true }),
            400,
            "invalid_request",
            "pattern",
        ),
        (json!({ "pattern": "a\nb" }), 400, "invalid_request", "pattern"),
        (
            json!({ "pattern": "a", "glob": "{a" }),
            400,
            "invalid_request",
            "glob",
        ),
        (
            json!({ "pattern": "a", "path": "none" }),
            404,
            "file_not_found",
            "none",
        ),
        (
            json!({ "pattern": "a", "path": "out" }),
            403,
            "invalid_request",
            "within",
        ),
    ] {
        for response in [
            sandbox.post("/search", &body).await,
            stream(&sandbox, &body).await,
        ] {
            let text = assert_error(response, status, code).await;
            assert!(text.contains(word), "{text}");
        }
    }
    sandbox.destroy().await;
}
