//! JavaScript and TypeScript.

use sandbar_tests::Sandbox;
use sandbar_tests::process::ok;
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
            ("require('path').join('a', 'b')", "\"a/b\"\n"),
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

/// Makes the files of a registry with one package, as `npm publish` would.
const REGISTRY: &str = r#"
import base64, hashlib, json, os, tarfile
os.makedirs("package"); os.makedirs("registry/-")
manifest = {"name": "greeting", "version": "1.2.3", "main": "index.js", "type": "module"}
open("package/package.json", "w").write(json.dumps(manifest))
open("package/index.js", "w").write("export default (name) => `hello ${name}`;\n")
with tarfile.open("registry/-/greeting-1.2.3.tgz", "w:gz") as archive:
    archive.add("package")
content = open("registry/-/greeting-1.2.3.tgz", "rb").read()
dist = {
    "tarball": "http://127.0.0.1:8291/-/greeting-1.2.3.tgz",
    "shasum": hashlib.sha1(content).hexdigest(),
    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode(),
}
versions = {"1.2.3": {**manifest, "dist": dist}}
open("registry/greeting", "w").write(
    json.dumps({"name": "greeting", "dist-tags": {"latest": "1.2.3"}, "versions": versions}))
"#;

#[tokio::test]
async fn packages_of_npm_are_imported() {
    let sandbox = sandbox().await;
    sandbox.put("workspace/registry.py", REGISTRY).await;
    let server =
        "python3 registry.py && exec python3 -m http.server 8291 --bind 127.0.0.1 --directory registry";
    sandbox.start(&json!({ "command": server })).await;
    ok(sandbox
        .post("/port/8291/wait", &json!({ "path": "/greeting" }))
        .await)
    .await;
    let env = json!({ "NPM_CONFIG_REGISTRY": "http://127.0.0.1:8291" });
    for language in ["javascript", "typescript"] {
        let context = sandbox
            .context(&json!({ "language": language, "env": env }))
            .await;
        for (code, output) in [
            (
                "import greet from 'npm:greeting@1'; greet('static')",
                "hello static",
            ),
            (
                "const { default: greet2 } = await import('npm:greeting'); greet2('dynamic')",
                "hello dynamic",
            ),
        ] {
            let run = sandbox
                .run_code(&json!({ "code": code, "context": context }))
                .await;
            assert!(run["output"].as_str().unwrap().contains(output), "{run}");
        }
        let missing = sandbox
            .run_code(&json!({ "code": "await import('npm:missing-here')", "context": context }))
            .await;
        assert_eq!(missing["success"], false, "{missing}");
    }
    sandbox.destroy().await;
}
