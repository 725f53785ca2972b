//! Sessions as clients use them.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use sandbar_tests::client::assert_error;
use sandbar_tests::sse::{Events, Item};
use sandbar_tests::{Finished, Sandbox};
use serde_json::{Value, json};

use crate::sandbox;

async fn send(sandbox: &Sandbox, session: &str, body: &Value) -> Response {
    let request = sandbox
        .request(Method::POST, "/exec")
        .header("Session-Id", session);
    request.json(body).send().await.expect("an answer")
}

async fn stream(sandbox: &Sandbox, session: &str, body: &Value) -> Events {
    let response = send(sandbox, session, body).await;
    assert_eq!(response.status(), 200);
    Events::new(response.bytes_stream())
}

async fn run(sandbox: &Sandbox, session: &str, argv: &[&str]) -> Finished {
    stream(sandbox, session, &json!({ "argv": argv }))
        .await
        .finish()
        .await
}

/// Asks for a session.
pub async fn create(sandbox: &Sandbox, body: &Value) -> Response {
    let request = sandbox.request(Method::POST, "/session").json(body);
    request.send().await.expect("an answer")
}

/// Deletes a session.
pub async fn delete(sandbox: &Sandbox, id: &str) -> Response {
    let request = sandbox.request(Method::DELETE, &format!("/session/{id}"));
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn all_three_ways_to_change_a_session_work() {
    let sandbox = sandbox().await;
    sandbox.sh("mkdir -p src").await;
    assert_eq!(run(&sandbox, "one", &["cd", "src"]).await.code(), 0);
    assert_eq!(run(&sandbox, "one", &["export", "A=b"]).await.code(), 0);
    assert_eq!(run(&sandbox, "one", &["pwd"]).await.text(), "/workspace/src\n");
    assert_eq!(run(&sandbox, "one", &["printenv", "A"]).await.text(), "b\n");
    let script = ["sh", "-lc", "cd src && export A=b"];
    assert_eq!(run(&sandbox, "two", &script).await.code(), 0);
    let after = run(&sandbox, "two", &["sh", "-lc", "pwd; echo $A"]).await;
    assert_eq!(after.text(), "/workspace/src\nb\n");
    // Nothing of it is seen without the session, or in another one.
    assert_eq!(sandbox.sh("pwd; echo $A").await.text(), "/workspace\n\n");
    assert_eq!(
        run(&sandbox, "three", &["sh", "-c", "pwd; echo $A"]).await.text(),
        "/workspace\n\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn bash_keeps_more_and_an_exit_ends_only_the_command() {
    let sandbox = sandbox().await;
    let script = "f() { echo \"f $1\"; }; x=plain; shopt -s expand_aliases globstar; alias hi='echo hi'; cd /tmp; exit 3";
    assert_eq!(run(&sandbox, "s", &["bash", "-c", script]).await.code(), 3);
    let after = run(
        &sandbox,
        "s",
        &["bash", "-c", "f 'two words'; hi $x; shopt -q globstar; pwd"],
    )
    .await;
    assert_eq!(
        (after.text().as_str(), after.code()),
        ("f two words\nhi plain\n/tmp\n", 0)
    );
    assert_eq!(run(&sandbox, "s", &["exit", "64"]).await.code(), 64);
    let timed_out = json!({"argv": ["bash", "-c", "cd /; x=lost; sleep 60"], "timeout_ms": 400});
    let finished = stream(&sandbox, "s", &timed_out).await.finish().await;
    assert_eq!(
        (finished.code(), &finished.exit.as_ref().unwrap()["timed_out"]),
        (124, &json!(true))
    );
    assert_eq!(
        run(&sandbox, "s", &["bash", "-c", "pwd; echo $x"]).await.text(),
        "/tmp\nplain\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn output_and_arguments_are_exact_and_stdin_arrives() {
    let sandbox = sandbox().await;
    let text = "many lines of 'quotes' \" $HOME `x` \\ \u{1f980}\n".repeat(300);
    let printed = run(&sandbox, "s", &["printf", "%s", &text]).await;
    assert_eq!(printed.text(), text);
    let script = format!("cat <<'END'\n{text}END");
    assert_eq!(run(&sandbox, "s", &["bash", "-lc", &script]).await.text(), text);
    let body = json!({"argv": ["sh", "-c", "cat; head -c 3000000 /dev/urandom | tee copy | sha256sum >sum; cat copy"], "stdin": {"base64": "AP8K"}});
    let finished = stream(&sandbox, "s", &body).await.finish().await;
    assert_eq!(
        (finished.stdout.len(), &finished.stdout[..3]),
        (3_000_003, &[0, 255, 10][..])
    );
    let body = json!({"argv": ["sh", "-c", "cd /workspace; sha256sum copy | cut -c1-64 | cmp - <<E\n$(cut -c1-64 sum)\nE"]});
    assert_eq!(stream(&sandbox, "s", &body).await.finish().await.code(), 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn create_and_delete_as_the_contract_has_them() {
    let sandbox = sandbox().await;
    let made_up = sandbox.request(Method::POST, "/session").send().await.unwrap();
    assert_eq!(made_up.status(), 200);
    let made_up: Value = made_up.json().await.unwrap();
    let id = made_up["id"].as_str().unwrap();
    assert!(
        !id.is_empty() && made_up.as_object().unwrap().len() == 1,
        "{made_up}"
    );
    assert_eq!(run(&sandbox, id, &["pwd"]).await.text(), "/workspace\n");

    let body =
        json!({"id": "named.1", "cwd": "/tmp", "env": {"A": "b c"}, "name": "unknown fields are ignored"});
    for _ in 0..2 {
        let response = create(&sandbox, &body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.json::<Value>().await.unwrap(), json!({"id": "named.1"}));
    }
    assert_eq!(
        run(&sandbox, "named.1", &["sh", "-c", "pwd; echo $A"])
            .await
            .text(),
        "/tmp\nb c\n"
    );
    assert_error(
        create(&sandbox, &json!({"id": "named.1"})).await,
        409,
        "session_exists",
    )
    .await;

    let deleted = delete(&sandbox, "named.1").await;
    assert_eq!(deleted.status(), 200);
    let deleted: Value = deleted.json().await.unwrap();
    assert_eq!(deleted, json!({"success": true, "sessionId": "named.1"}));
    assert_error(delete(&sandbox, "named.1").await, 404, "session_not_found").await;
    assert_error(delete(&sandbox, "default").await, 502, "session_error").await;
    assert_eq!(run(&sandbox, "named.1", &["pwd"]).await.text(), "/workspace\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_timeout_of_a_session_is_that_of_commands_without_their_own() {
    let sandbox = sandbox().await;
    let created = create(&sandbox, &json!({"id": "s", "timeout_ms": 300})).await;
    assert_eq!(created.status(), 200);
    assert_eq!(run(&sandbox, "s", &["sleep", "4310"]).await.code(), 124);
    let own = json!({"argv": ["sleep", "1"], "timeout_ms": 60000});
    assert_eq!(stream(&sandbox, "s", &own).await.finish().await.code(), 0);
    assert_error(create(&sandbox, &json!({"id": "s"})).await, 409, "session_exists").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn deleting_a_session_ends_its_own_running_command_and_nothing_else() {
    let sandbox = sandbox().await;
    let script = "echo $$ >pid; echo up; sleep 4301";
    assert_eq!(
        run(&sandbox, "s", &["sh", "-c", "sleep 4302 & echo $! >background"])
            .await
            .code(),
        0
    );
    let mut own = stream(&sandbox, "s", &json!({"argv": ["sh", "-c", script]})).await;
    assert_eq!(
        own.next().await.unwrap().unwrap(),
        Item::Output(false, b"up\n".to_vec())
    );
    let mut other = stream(
        &sandbox,
        "t",
        &json!({"argv": ["sh", "-c", "echo up; sleep 4303; echo never"]}),
    )
    .await;
    other.next().await.unwrap().unwrap();
    assert_eq!(delete(&sandbox, "s").await.status(), 200);
    let finished = own.finish().await;
    assert_eq!(
        finished.exit.unwrap(),
        json!({"exit_code": 143, "signal": "SIGTERM"})
    );
    let alive = sandbox
        .sh("kill -0 $(cat background) && echo background; kill -0 $(cat pid) || echo own is gone")
        .await;
    assert_eq!(alive.text(), "background\nown is gone\n");
    let sleepers = sandbox
        .sh("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c '^430[123]$'")
        .await;
    assert_eq!(sleepers.text(), "2\n");
    drop(other);
    sandbox.destroy().await;
}

#[tokio::test]
async fn commands_of_one_session_wait_and_those_of_others_do_not() {
    let sandbox = sandbox().await;
    let begin = |session, name: &str| {
        let script = format!("echo begin >>{session}; sleep 0.3; echo end {name} >>{session}");
        let (sandbox, body) = (sandbox.clone(), json!({"argv": ["sh", "-c", script]}));
        async move { stream(&sandbox, session, &body).await.finish().await.code() }
    };
    let codes = tokio::join!(begin("a", "1"), begin("a", "2"), begin("a", "3"), begin("b", "1"));
    assert_eq!(codes, (0, 0, 0, 0));
    let log = sandbox.sh("cut -d' ' -f1 a | tr '\\n' ' '").await.text();
    assert_eq!(log, "begin end begin end begin end ");

    let mut stuck = stream(
        &sandbox,
        "a",
        &json!({"argv": ["sh", "-c", "echo up; sleep 4304"]}),
    )
    .await;
    stuck.next().await.unwrap().unwrap();
    let waiting = send(&sandbox, "a", &json!({"argv": ["touch", "never"]})).await;
    assert_eq!(run(&sandbox, "b", &["echo", "free"]).await.text(), "free\n");
    assert_eq!(sandbox.sh("echo free").await.text(), "free\n");
    // One leaves the queue, which is noticed within two seconds; then the other its command. The
    // next runs at once.
    drop(waiting);
    tokio::time::sleep(Duration::from_secs(4)).await;
    drop(stuck);
    let started = Instant::now();
    assert_eq!(run(&sandbox, "a", &["ls"]).await.text(), "a\nb\n");
    let waited = started.elapsed();
    assert!(
        waited < Duration::from_secs(2),
        "less than a keep-alive's interval: {waited:?}"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn file_paths_keep_their_meaning() {
    let sandbox = sandbox().await;
    sandbox.sh("mkdir src").await;
    assert_eq!(run(&sandbox, "s", &["cd", "src"]).await.code(), 0);
    let file = |method, path: &str| {
        sandbox
            .request(method, &format!("/file/{path}"))
            .header("Session-Id", "s")
    };
    let put = file(Method::PUT, "workspace/a")
        .body("text")
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 200);
    assert_eq!(run(&sandbox, "s", &["cat", "../a"]).await.text(), "text");
    let read = file(Method::GET, "workspace/a").send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), "text");
    for path in ["a", "src/a"] {
        let text = assert_error(
            file(Method::GET, path).send().await.unwrap(),
            403,
            "invalid_request",
        )
        .await;
        assert!(text.contains("within /workspace"), "{text}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_session_made_and_deleted_a_thousand_times_leaves_nothing() {
    let sandbox = sandbox().await;
    let list = "ls /proc | grep -c '^[0-9]'; ls -A /tmp /workspace /home/sandbox 2>/dev/null | sort";
    sandbox.sh("true").await;
    let before = sandbox.sh(list).await.text();
    for round in 0..100 {
        let ten = (0..10).map(|n| {
            let sandbox = sandbox.clone();
            async move {
                let id = format!("s{n}");
                let made = create(&sandbox, &json!({"id": id, "env": {"A": "x".repeat(1000)}})).await;
                assert_eq!(made.status(), 200);
                if round % 10 == 0 {
                    assert_eq!(
                        run(&sandbox, &id, &["bash", "-c", "B=1; cd /tmp"]).await.code(),
                        0
                    );
                }
                assert_eq!(delete(&sandbox, &id).await.status(), 200);
            }
        });
        futures_util::future::join_all(ten).await;
    }
    crate::eventually("everything is as it was", || async {
        sandbox.sh(list).await.text() == before
    })
    .await;
    sandbox.destroy().await;
}
