//! Checkouts that fail.

use std::time::{Duration, Instant};

use sandbar_tests::client::assert_error;
use sandbar_tests::git_server::{TOKEN, USERNAME};
use serde_json::json;

use crate::git::Setting;

#[tokio::test]
async fn a_bad_request_is_refused_before_a_sandbox_is_started() {
    let sandbox = crate::client().sandbox("gitbad");
    for (body, status, text) in [
        (json!({}), 400, "repoUrl must be a string"),
        (json!({ "repoUrl": "file:///etc" }), 400, "repoUrl is not a URL"),
        (
            json!({ "repoUrl": "https://h/a", "ref": "a", "branch": "b" }),
            400,
            "ref and branch",
        ),
        (
            json!({ "repoUrl": "https://h/a", "targetDir": "../etc" }),
            403,
            "targetDir must resolve",
        ),
        (
            json!({ "repoUrl": "git@h:a", "auth": { "token": "t" } }),
            400,
            "auth is for",
        ),
    ] {
        let response = sandbox.post("/git/checkout", &body).await;
        let message = assert_error(response, status, "invalid_request").await;
        assert!(message.starts_with(text), "{message}");
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn what_does_not_exist_is_an_error_with_its_code() {
    let setting = Setting::new().await;
    setting.server.add("project");
    setting.server.add_with_files("empty", 0);
    let id = "0123456789abcdef0123456789abcdef01234567";
    for (name, more, code) in [
        ("nothing", json!({}), "git_repository_not_found"),
        ("project", json!({ "branch": "v1" }), "git_ref_not_found"),
        ("project", json!({ "branch": "nothing" }), "git_ref_not_found"),
        ("project", json!({ "ref": "nothing" }), "git_ref_not_found"),
        (
            "project",
            json!({ "ref": "nothing", "depth": 1 }),
            "git_ref_not_found",
        ),
        ("project", json!({ "ref": "0123456" }), "git_ref_not_found"),
        ("project", json!({ "ref": id }), "git_ref_not_found"),
        ("project", json!({ "ref": id, "depth": 1 }), "git_ref_not_found"),
    ] {
        let response = setting.post(name, more.clone()).await;
        assert!(response.headers().contains_key("process-id"));
        assert_error(response, 502, code).await;
        assert_eq!(setting.sh("ls -A").await, "", "{more}");
    }
    // The same in a checkout, which stays as it is.
    setting.checkout("project", json!({})).await;
    for more in [
        json!({ "branch": "nothing" }),
        json!({ "ref": "nothing" }),
        json!({ "ref": "0123456" }),
        json!({ "ref": id }),
    ] {
        let response = setting.post("project", more.clone()).await;
        assert_error(response, 502, "git_ref_not_found").await;
        assert_eq!(
            setting
                .sh("cat project/file.txt; git -C project branch --show-current")
                .await,
            "three\nmain"
        );
    }
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_submodule_that_fails_leaves_the_checkout() {
    let setting = Setting::new().await;
    let first = setting.server.add("inner").first;
    setting.server.add_with_submodule("outer", "missing", &first);
    let with_submodules = json!({ "submodules": true });
    let failed = setting.post("outer", with_submodules.clone()).await;
    assert_error(failed, 502, "git_repository_not_found").await;
    assert_eq!(
        setting.sh("cd outer && echo mine > mine && ls -A").await,
        ".git\n.gitmodules\nmine\nsub"
    );
    // The next one finds a checkout, and the user's file in it.
    let failed = setting.post("outer", with_submodules).await;
    assert_error(failed, 502, "git_repository_not_found").await;
    assert_eq!(setting.sh("cat outer/mine").await, "mine");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_breaks_off_or_stalls_is_a_network_error() {
    let setting = Setting::new().await;
    setting.server.add("broken");
    setting.server.add("stalled");
    let closed = sandbar_tests::bridge::free_port();
    for url in [
        format!("http://127.0.0.1:{closed}/a.git"),
        "http://no-such-host.invalid/a.git".to_owned(),
        format!("{}/broken.git", setting.url),
    ] {
        let response = setting
            .sandbox
            .post("/git/checkout", &json!({ "repoUrl": url }))
            .await;
        assert_error(response, 502, "git_network_error").await;
        assert_eq!(setting.sh("ls -A").await, "", "{url}");
    }
    let started = Instant::now();
    let response = setting.post("stalled", json!({ "timeout_ms": 1000 })).await;
    let message = assert_error(response, 502, "git_network_error").await;
    assert!(message.contains("1000 ms"), "{message}");
    assert!(
        (1..5).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_that_waits_gets_spaces_and_one_that_leaves_ends_git() {
    let setting = Setting::new().await;
    setting.server.add("stalled");
    let response = setting.post("stalled", json!({ "timeout_ms": 6000 })).await;
    // The status is sent before git has ended.
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(
        text.starts_with(" {") && text.contains("git_network_error"),
        "{text}"
    );
    let request = tokio::time::timeout(Duration::from_secs(1), setting.post("stalled", json!({})));
    assert!(request.await.is_err());
    crate::eventually("git ends", async || {
        setting.sandbox.processes("?state=running").await.is_empty()
    })
    .await;
    crate::eventually("nothing of git is left", async || {
        let left = "cat /proc/[0-9]*/comm | grep -e git -e sandboxd$ | sort -u";
        setting.sh(left).await == "sandboxd"
    })
    .await;
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_directory_with_other_files_stays_as_it_is() {
    let setting = Setting::new().await;
    setting.server.add("project");
    setting.server.add("another");
    setting
        .sh("mkdir files project; echo a >files/a; echo b >file; git init -q init; mkdir broken broken/.git")
        .await;
    for directory in ["files", "file", "init", "broken"] {
        let response = setting.post("project", json!({ "targetDir": directory })).await;
        assert_error(response, 409, "git_target_exists").await;
    }
    assert_eq!(
        setting.sh("cat files/* file; ls -A broken init").await,
        "a\nb\nbroken:\n.git\n\ninit:\n.git"
    );
    // An empty directory is taken; the checkout of another repository is not.
    setting.checkout("project", json!({})).await;
    let response = setting.post("another", json!({ "targetDir": "project" })).await;
    assert_error(response, 409, "git_target_exists").await;
    assert_eq!(setting.sh("cat project/file.txt").await, "three");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn of_two_checkouts_into_one_directory_the_second_is_refused() {
    let setting = Setting::new().await;
    let commits = setting.server.add("held");
    let auth = json!({ "auth": { "token": TOKEN, "username": USERNAME } });
    let second = async {
        crate::eventually("git waits for the pack", async || {
            setting.server.authorizations().len() >= 2
        })
        .await;
        let response = setting.post("held", auth.clone()).await;
        let message = assert_error(response, 409, "git_target_exists").await;
        assert!(message.contains("another checkout"), "{message}");
        setting.server.release();
    };
    let (checkout, ()) = tokio::join!(setting.checkout("held", auth.clone()), second);
    assert_eq!(checkout["commit"], commits.main);
    assert_eq!(
        setting
            .sh("git -C held status --porcelain; cat held/file.txt")
            .await,
        "three"
    );
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn the_workspace_itself_can_be_the_checkout() {
    let setting = Setting::new().await;
    setting.server.add("project");
    let checkout = setting.checkout("project", json!({ "targetDir": "." })).await;
    assert_eq!(checkout["targetDir"], "/workspace");
    assert_eq!(setting.sh("cat file.txt; ls -A").await, "three\n.git\nfile.txt");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_clone_that_was_ended_is_made_anew() {
    let setting = Setting::new().await;
    let commits = setting.server.add("project");
    setting.checkout("project", json!({})).await;
    // As an end in the middle leaves it: git has written some files, and holds the index.
    setting.sh("cd project && git config sandbar-incomplete.clone true && rm .git/index && touch .git/index.lock").await;
    let checkout = setting.checkout("project", json!({})).await;
    assert_eq!(checkout["commit"], commits.main);
    assert_eq!(
        setting
            .sh("cd project && git status --porcelain && cat file.txt")
            .await,
        "three"
    );
    setting.sandbox.destroy().await;
}
