//! JavaScript and TypeScript.

use sandbar_tests::Sandbox;
use serde_json::{Value, json};

use crate::sandbox;

async fn run(sandbox: &Sandbox, language: &str, code: &str) -> Value {
    sandbox
        .run_code(&json!({ "code": code, "language": language }))
        .await
}

#[tokio::test]
async fn javascript_and_typescript_keep_their_variables() {
    let sandbox = sandbox().await;
    for language in ["javascript", "typescript"] {
        for (code, output) in [
            ("const a = 1; console.log('log'); a", "log\n1\n"),
            ("const a = 2; a", "2\n"),
            ("await Promise.resolve(3)", "3\n"),
            ("const b: number = 4; b", "4\n"),
            ("await (await fetch('data:text/plain,hi')).text()", "\"hi\"\n"),
            ("({ a, b })", "{ a: 2, b: 4 }\n"),
        ] {
            let run = run(&sandbox, language, code).await;
            assert_eq!(run["output"], output, "{language}: {code}: {run}");
        }
        // Each value belongs to its own run.
        for i in 0..50 {
            let run = run(&sandbox, language, &format!("{i}")).await;
            assert_eq!(run["output"], format!("{i}\n"), "{language}");
        }
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn exceptions_and_timeouts_of_javascript() {
    let sandbox = sandbox().await;
    for (code, message) in [
        ("throw new TypeError('thrown')", "thrown"),
        ("await Promise.reject(new Error('rejected'))", "rejected"),
        ("throw { a: 1 }", ""),
    ] {
        let run = run(&sandbox, "javascript", code).await;
        assert_eq!(run["success"], false, "{run}");
        assert!(
            run["exception"]["message"].as_str().unwrap().contains(message),
            "{run}"
        );
        assert!(run["output"].as_str().unwrap().contains(message), "{run}");
    }
    let body = json!({ "code": "globalThis.kept = 1; while (true) {}", "language": "javascript", "timeout_ms": 1000 });
    let timed_out = sandbox.run_code(&body).await;
    assert_eq!(
        (&timed_out["success"], &timed_out["timedOut"]),
        (&json!(false), &json!(true)),
        "{timed_out}"
    );
    assert_eq!(run(&sandbox, "javascript", "kept").await["output"], "1\n");
    // The directory and the variables of a run are for Python.
    let body = json!({ "code": "1", "language": "javascript", "env": { "A": "1" } });
    let response = sandbox.post_code(&body).await;
    sandbar_tests::client::assert_error(response, 501, "not_supported").await;
    sandbox.destroy().await;
}
