//! The settings of a sandbox: how they are set and changed, and what they do.

use futures_util::future::join_all;
use reqwest::{Method, Response};
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use sandbar_tests::{Client, Sandbox};
use serde_json::{Value, json};

use crate::{bridge, client};

/// Creates a sandbox with settings.
pub async fn create(client: &Client, body: &Value) -> Sandbox {
    let request = client.request(Method::POST, "/v1/sandbox").json(body);
    let created = ok(request.send().await.unwrap()).await;
    client.sandbox(created["id"].as_str().expect("an id"))
}

/// `GET /v1/sandbox/{id}`
pub async fn info(sandbox: &Sandbox) -> Value {
    ok(sandbox.request(Method::GET, "").send().await.unwrap()).await
}

/// `PATCH /v1/sandbox/{id}`
pub async fn patch(sandbox: &Sandbox, body: &Value) -> Response {
    let request = sandbox.request(Method::PATCH, "").json(body);
    request.send().await.unwrap()
}

/// A name that no other test has.
pub fn unique(name: &str) -> String {
    format!(
        "{name}-{}-{}",
        std::process::id(),
        sandbar_tests::bridge::free_port()
    )
}

#[tokio::test]
async fn a_sandbox_is_created_with_settings_and_shown_with_them() {
    let client = client();
    let body = json!({
        "env": { "API_URL": "https://example.com", "TOKEN": "s3cret-value" }, "labels": { "team": "search" },
        "sleepAfter": "20m", "maxLifetime": "2h", "timeoutMs": 5, "exposedPorts": [1]
    });
    let sandbox = create(&client, &body).await;
    assert!(!sandbox.running().await, "creating it does not start it");
    let new = info(&sandbox).await;
    assert_eq!(new["state"], "new");
    assert_eq!(new["id"], sandbox.id.as_str());
    assert_eq!(new["labels"], json!({ "team": "search" }));
    let settings = json!({
        "env": ["API_URL", "TOKEN"], "sleepAfter": "20m", "keepAlive": false, "maxLifetime": "2h", "internet": true
    });
    assert_eq!(new["settings"], settings);
    assert!(new["expiresAt"].as_str() > new["createdAt"].as_str());
    for absent in [
        "name",
        "bootId",
        "startedAt",
        "lastActiveAt",
        "ports",
        "pendingRestart",
    ] {
        assert!(new.get(absent).is_none(), "{absent}: {new}");
    }

    assert_eq!(
        sandbox.sh("echo $API_URL $TOKEN").await.text(),
        "https://example.com s3cret-value\n"
    );
    let running = info(&sandbox).await;
    assert_eq!(running["state"], "running");
    assert_eq!(running["bootId"], sandbox.boot_id().await.as_str());
    assert_eq!(running["createdAt"], new["createdAt"]);
    assert!(running["startedAt"].as_str() >= new["createdAt"].as_str());
    assert!(running["lastActiveAt"].as_str() >= running["startedAt"].as_str());
    assert_eq!(
        (&running["ports"], &running["mounts"], &running["tunnels"]),
        (&json!([]), &json!([]), &json!([]))
    );
    assert!(!running.to_string().contains("s3cret"));
    assert!(!bridge().log.text().contains("s3cret"));

    assert_eq!(sandbox.destroy().await, 204);
    let gone = sandbox.request(Method::GET, "").send().await.unwrap();
    assert_error(gone, 404, "sandbox_not_found").await;
}

#[tokio::test]
async fn a_sandbox_that_nobody_used_is_not_known_and_one_that_ran_is() {
    let sandbox = client().create().await;
    let unused = sandbox.request(Method::GET, "").send().await.unwrap();
    assert_error(unused, 404, "sandbox_not_found").await;
    assert!(!sandbox.running().await, "asking starts nothing");
    sandbox.boot_id().await;
    let used = info(&sandbox).await;
    assert_eq!((&used["state"], &used["labels"]), (&json!("running"), &json!({})));
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn ports_are_shown_while_something_listens() {
    let sandbox = client().create().await;
    let body = json!({ "argv": ["python3", "-m", "http.server", "18994", "--bind", "127.0.0.1"] });
    ok(sandbox.post("/process", &body).await).await;
    crate::eventually("it listens", || async {
        info(&sandbox).await["ports"] == json!([18994])
    })
    .await;
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_name_gives_the_same_sandbox_everywhere() {
    let client = client();
    let named = json!({ "name": "user-123" });
    let ids = [create(&client, &named).await.id, create(&client, &named).await.id];
    // On every runtime, and in every version.
    assert_eq!(ids, ["cpighho2k6rotijlfjjx2gp44y", "cpighho2k6rotijlfjjx2gp44y"]);
    let sandbox = client.sandbox(&ids[0]);
    assert_eq!(info(&sandbox).await["name"], "user-123");

    let both = |id: &str| json!({ "name": "user-123", "id": id });
    assert_eq!(create(&client, &both(&ids[0])).await.id, ids[0]);
    let other = client.request(Method::POST, "/v1/sandbox").json(&both("abc"));
    let text = assert_error(other.send().await.unwrap(), 400, "invalid_request").await;
    assert!(text.contains(&ids[0]), "{text}");
    for name in [json!("user-124"), Value::Null] {
        let changed = patch(&sandbox, &json!({ "name": name })).await;
        assert_error(changed, 400, "invalid_request").await;
    }
    assert_eq!(patch(&sandbox, &named).await.status(), 200);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn the_same_name_again_changes_the_settings_that_are_given() {
    let client = client();
    let name = unique("again");
    let first = create(
        &client,
        &json!({ "name": name, "labels": { "a": "1" }, "env": { "A": "1" } }),
    )
    .await;
    let created = info(&first).await["createdAt"].clone();
    let again = create(&client, &json!({ "name": name, "labels": { "b": "2" } })).await;
    assert_eq!(again.id, first.id);
    let now = info(&again).await;
    assert_eq!(now["labels"], json!({ "a": "1", "b": "2" }));
    assert_eq!(
        (&now["createdAt"], &now["settings"]["env"]),
        (&created, &json!(["A"]))
    );
    assert_eq!(again.destroy().await, 204);
    let again = create(&client, &json!({ "name": name })).await;
    assert_eq!(
        info(&again).await["labels"],
        json!({}),
        "DELETE forgets the settings"
    );
    assert_eq!(again.destroy().await, 204);
}

#[tokio::test]
async fn a_change_of_the_variables_is_for_every_later_command() {
    let client = client();
    let sandbox = create(
        &client,
        &json!({ "env": { "A": "1", "B": "1", "PATH_EXTRA": "x" } }),
    )
    .await;
    let script = "echo ${A-none} ${B-none} ${C-none}";
    assert_eq!(sandbox.sh(script).await.text(), "1 1 none\n");
    let in_session = || async {
        let request = sandbox.request(Method::POST, "/exec").header("session-id", "s");
        let body = json!({ "argv": ["sh", "-c", script] });
        let response = request.header("accept", "application/json").json(&body).send();
        ok(response.await.unwrap()).await["stdout"].clone()
    };
    assert_eq!(in_session().await, "1 1 none\n");
    let running =
        json!({ "argv": ["sh", "-c", format!("read go; {script}")], "stdin_open": true, "id": "p" });
    ok(sandbox.post("/process", &running).await).await;

    let changed = ok(patch(&sandbox, &json!({ "env": { "A": null, "B": "2", "C": "3" } })).await).await;
    assert_eq!(changed["settings"]["env"], json!(["B", "C", "PATH_EXTRA"]));
    assert!(changed.get("pendingRestart").is_none(), "{changed}");
    assert_eq!(sandbox.sh(script).await.text(), "none 2 3\n");
    assert_eq!(in_session().await, "none 2 3\n", "also in a session from before");
    let own = json!({ "argv": ["sh", "-c", script], "env": { "B": "own" } });
    assert_eq!(
        sandbox.exec(&own).await.text(),
        "none own 3\n",
        "a command's own come last"
    );

    let line = sandbox.request(Method::POST, "/process/p/stdin").body("go\n");
    ok(line.send().await.unwrap()).await;
    ok(sandbox.post("/process/p/wait", &json!({ "for": "exit" })).await).await;
    let log = sandbox
        .request(Method::GET, "/process/p/log")
        .header("accept", "text/plain");
    assert_eq!(log.send().await.unwrap().text().await.unwrap(), "1 1 none\n");

    let started = json!({ "argv": ["sh", "-c", script], "id": "q" });
    ok(sandbox.post("/process", &started).await).await;
    ok(sandbox.post("/process/q/wait", &json!({ "for": "exit" })).await).await;
    let log = sandbox
        .request(Method::GET, "/process/q/log")
        .header("accept", "text/plain");
    assert_eq!(log.send().await.unwrap().text().await.unwrap(), "none 2 3\n");

    ok(patch(&sandbox, &json!({ "env": null })).await).await;
    assert_eq!(sandbox.sh(script).await.text(), "none none none\n");
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let client = client();
    let sandbox = create(&client, &json!({ "labels": { "first": "1" } })).await;
    let change = |i: usize| {
        let sandbox = sandbox.clone();
        async move {
            let body = json!({ "labels": { format!("l{i}"): "x" }, "env": { format!("V{i}"): "x" } });
            assert_eq!(patch(&sandbox, &body).await.status(), 200);
        }
    };
    join_all((0..40).map(change)).await;
    let info = info(&sandbox).await;
    assert_eq!(info["labels"].as_object().unwrap().len(), 41);
    assert_eq!(info["settings"]["env"].as_array().unwrap().len(), 40);
    assert_eq!(sandbox.destroy().await, 204);
}

#[tokio::test]
async fn a_sandbox_is_stopped_and_started() {
    let sandbox = create(&client(), &json!({ "env": { "A": "1" }, "keepAlive": true })).await;
    let start = || async { ok(sandbox.post("/start", &json!({})).await).await };
    let started = start().await;
    assert_eq!(started["state"], "running");
    assert_eq!(start().await["bootId"], started["bootId"], "it runs already");
    sandbox.put("workspace/f", "x").await;
    let mut events = sandbox
        .stream(&json!({ "argv": ["sh", "-c", "echo up; sleep 600"] }))
        .await;
    events.next().await.unwrap().unwrap();

    for _ in 0..2 {
        assert_eq!(sandbox.post("/stop", &json!({})).await.status(), 204);
        assert!(!sandbox.running().await);
        let stopped = info(&sandbox).await;
        assert_eq!(
            (&stopped["state"], &stopped["settings"]["env"]),
            (&json!("stopped"), &json!(["A"]))
        );
        assert_eq!(stopped["startedAt"], started["startedAt"]);
    }
    let ended = events.finish().await;
    assert!(
        ended.exit.is_none_or(|exit| exit["exit_code"] != 0),
        "its commands have ended"
    );
    assert_eq!(
        sandbox.sh("echo $A; ls").await.text(),
        "1\n",
        "a new boot with the settings, without the files"
    );
    assert_ne!(info(&sandbox).await["bootId"], started["bootId"]);
    assert_eq!(sandbox.destroy().await, 204);

    let unknown = client().create().await;
    assert_eq!(unknown.post("/stop", &json!({})).await.status(), 204);
    assert!(!unknown.running().await);
}
