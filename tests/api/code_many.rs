//! Many contexts, and many runs.

use futures_util::future::join_all;
use sandbar_tests::Sandbox;
use serde_json::{Value, json};

use crate::sandbox;

#[tokio::test]
async fn the_runs_of_a_context_queue_and_contexts_run_at_once() {
    let sandbox = sandbox().await;
    let ids = join_all((0..32).map(|_| async { sandbox.context(&json!({})).await })).await;
    // Each context waits for a file of the next one, so that they end only when all run.
    let ring = ids.iter().enumerate().map(|(i, id)| {
        let next = (i + 1) % ids.len();
        let code = format!(
            "import os, time\nopen('/tmp/ring{i}', 'w').close()\nwhile not os.path.exists('/tmp/ring{next}'): time.sleep(0.01)\n{i}"
        );
        let sandbox = sandbox.clone();
        let body = json!({ "code": code, "context": id });
        async move { sandbox.run_code(&body).await["results"][0]["text"].clone() }
    });
    let expected: Vec<Value> = (0..ids.len()).map(|i| i.to_string().into()).collect();
    assert_eq!(join_all(ring).await, expected);
    let context = &ids[0];
    let body = json!({ "code": "log = []", "context": context });
    sandbox.run_code(&body).await;
    join_all((0..10).map(|i| {
        let code = format!("log.append(('begin', {i})); time.sleep(0.02); log.append(('end', {i}))");
        let body = json!({ "code": code, "context": context });
        let sandbox = sandbox.clone();
        async move { sandbox.run_code(&body).await }
    }))
    .await;
    let code =
        "all(a[0] == 'begin' and b == ('end', a[1]) for a, b in zip(log[::2], log[1::2])) and len(log)";
    let run = sandbox
        .run_code(&json!({ "code": code, "context": context }))
        .await;
    assert_eq!(run["results"][0]["text"], "20", "{run}");
    sandbox.destroy().await;
}

/// The memory of sandboxd, in KiB.
async fn memory(sandbox: &Sandbox) -> u64 {
    let line = sandbox.sh("grep VmRSS /proc/1/status").await.text();
    let kib = line.split_ascii_whitespace().nth(1).expect("a line of VmRSS");
    kib.parse().expect("a number")
}

#[tokio::test]
async fn a_thousand_runs_one_after_another_need_no_more_memory() {
    let sandbox = sandbox().await;
    sandbox.python("n = 0").await;
    let run = async |count: u64| {
        let mut last = Value::Null;
        for _ in 0..count {
            last = sandbox.python("n += 1; print('x' * 1000); n").await;
        }
        last["results"][0]["text"].clone()
    };
    // The table of processes is full after this many.
    assert_eq!(run(400).await, "400");
    let before = memory(&sandbox).await;
    assert_eq!(run(600).await, "1000");
    let after = memory(&sandbox).await;
    assert!(
        after < before + 16 * 1024,
        "{before} KiB before, {after} KiB after"
    );
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn more_memory_than_there_is_ends_in_an_exception_or_a_lost_context() {
    let sandbox = sandbox().await;
    sandbox.python("kept = 1").await;
    // The limit of this process, so that the machine does not run out of memory.
    let code =
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); x = bytearray(8 << 30)";
    let run = sandbox.python(code).await;
    assert_eq!(run["success"], false);
    assert_eq!(run["exception"]["name"], "MemoryError", "{run}");
    assert_eq!(sandbox.python("kept").await["results"][0]["text"], "1");
    assert_eq!(sandbox.destroy().await, 204);
}
