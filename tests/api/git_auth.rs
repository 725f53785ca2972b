//! Checkouts of private repositories: who gets the credentials, and who does not.

use sandbar_tests::client::assert_error;
use sandbar_tests::git_server::{Commits, GitServer, TOKEN, USERNAME};
use sandbar_tests::machine::address_for;
use serde_json::{Value, json};

use crate::eventually;
use crate::git::Setting;

/// The credentials that the server takes.
fn auth() -> Value {
    json!({ "token": TOKEN, "username": USERNAME })
}

/// A script that looks for the token in everything that a command can read of processes and in the
/// files of the sandbox, and prints the number of lines and `seen` if there was anything to read. Its
/// own command line has the token in halves.
fn search() -> String {
    let (first, second) = TOKEN.split_at(7);
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("{USERNAME}:{TOKEN}"))
    };
    let (first64, second64) = encoded.split_at(9);
    format!(
        "a={first}; b={first64}; \
         for p in /proc/[0-9]*; do \
             cat $p/environ $p/cmdline $p/status $p/comm 2>/dev/null | tr '\\0' '\\n'; \
             for fd in $p/fd/*; do case $(readlink $fd) in pipe:*) timeout 0.2 dd if=$fd iflag=nonblock 2>/dev/null;; esac; done; \
         done >/tmp/seen; \
         grep -r -a . /workspace /home /tmp /run /var/tmp --exclude=seen 2>/dev/null >>/tmp/seen; env >>/tmp/seen; \
         grep -a -c -F -e \"${{a}}{second}\" -e \"${{b}}{second64}\" /tmp/seen; grep -a -q git-checkout /tmp/seen && echo seen; rm /tmp/seen"
    )
}

#[tokio::test]
async fn no_command_finds_the_token_while_a_slow_clone_runs() {
    let setting = Setting::new().await;
    let Commits { main, .. } = setting.server.add("held");
    let checkout = setting.post("held", json!({ "auth": auth() }));
    let searched = async {
        // git has the credentials, and waits for the pack.
        eventually("git sends the credentials", async || {
            setting.server.authorizations().len() >= 2
        })
        .await;
        let found = setting.sh(&search()).await;
        let processes = setting.sandbox.processes("").await;
        setting.server.release();
        (found, processes)
    };
    let (response, (found, processes)) = tokio::join!(checkout, searched);
    assert_eq!(found, "0\nseen");
    assert!(!json!(processes).to_string().contains(TOKEN));
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["commit"], main);
    // Nor afterwards.
    let found = setting.sh(&search().replace("git-checkout", "HEAD")).await;
    assert_eq!(found, "0\nseen");
    let processes = setting.sandbox.processes("").await;
    assert!(!json!(processes).to_string().contains(TOKEN));
    let log = setting.sandbox.client.bridge.log.text();
    assert!(!log.contains(TOKEN), "{log}");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn private_repositories_are_cloned_with_their_submodules_and_lazily() {
    let setting = Setting::new().await;
    let Commits { first, main, .. } = setting.server.add("private");
    setting
        .server
        .add_with_submodule("private-outer", "private", &first);
    for (name, more) in [
        ("private", json!({})),
        (
            "private",
            json!({ "ref": main, "depth": 1, "targetDir": "shallow" }),
        ),
        (
            "private",
            json!({ "filter": "blob:none", "targetDir": "partial" }),
        ),
        ("private-outer", json!({ "submodules": true })),
    ] {
        let mut body = more.clone();
        body["auth"] = auth();
        setting.checkout(name, body.clone()).await;
        // Again: the checkout is updated.
        setting.checkout(name, body).await;
    }
    let script = "cat private/file.txt shallow/file.txt partial/file.txt private-outer/sub/file.txt";
    assert_eq!(setting.sh(script).await, "three\nthree\nthree\none");
    // Nothing stays for later commands.
    let script = "cd private && git fetch 2>&1 | tail -n 1; cat ~/.git-credentials ~/.gitconfig 2>/dev/null";
    let message = setting
        .sh(&format!("export GIT_TERMINAL_PROMPT=0; {script}"))
        .await;
    assert!(message.contains("could not read Username"), "{message}");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn credentials_in_a_url_count_and_stay_nowhere() {
    let setting = Setting::new().await;
    let Commits { main, .. } = setting.server.add("private");
    let encoded: String = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let bare = format!("{}/private.git", setting.url);
    let url = bare.replace("://", &format!("://{USERNAME}:{encoded}@"));
    let response = setting
        .sandbox
        .post("/git/checkout", &json!({ "repoUrl": url }))
        .await;
    let id = response.headers()["process-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["repoUrl"], &body["commit"]), (&json!(bare), &json!(main)));
    assert_eq!(setting.sh("git -C private remote get-url origin").await, bare);
    let record = setting.sandbox.process(&id).show().await.to_string();
    assert!(!record.contains(&encoded) && !record.contains(TOKEN), "{record}");

    let wrong = url.replace(&encoded, "wr0ng");
    let body = json!({ "repoUrl": wrong, "targetDir": "wrong" });
    let response = setting.sandbox.post("/git/checkout", &body).await;
    let message = assert_error(response, 502, "git_auth_failed").await;
    assert!(!message.contains("wr0ng"), "{message}");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_server_that_wants_other_credentials_is_an_error_and_leaves_nothing() {
    let setting = Setting::new().await;
    setting.server.add("private");
    for more in [
        json!({}),
        json!({ "auth": { "token": "wr0ng" } }),
        json!({ "auth": { "token": "wr0ng", "username": USERNAME }, "filter": "blob:none" }),
    ] {
        let response = setting.post("private", more.clone()).await;
        let message = assert_error(response, 502, "git_auth_failed").await;
        assert!(!message.contains("wr0ng"), "{message}");
        assert_eq!(setting.sh("ls -A").await, "", "{more}");
    }
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn the_token_goes_to_no_other_host() {
    let setting = Setting::new().await;
    let other = GitServer::start();
    other.add("private");
    let at = format!("http://{}:{}", address_for(&setting.sandbox).await, other.port);
    setting.server.move_to(&at);
    let response = setting.post("moved/private", json!({ "auth": auth() })).await;
    assert_error(response, 502, "git_auth_failed").await;
    // Nor by a file that commands can write.
    let script = format!(
        "git config --global url.{at}/.insteadOf {}/; git config --global credential.helper store",
        setting.url
    );
    setting.sh(&script).await;
    setting.server.add("private");
    setting.checkout("private", json!({ "auth": auth() })).await;
    assert_eq!(other.authorizations(), Vec::<String>::new());
    assert!(setting.sh("ls ~/.git-credentials").await.contains("No such file"));
    setting.sandbox.destroy().await;
}
