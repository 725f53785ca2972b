//! Checkouts of public repositories: what is fetched, and what is there afterwards.

use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::git_server::{Commits, GitServer};
use sandbar_tests::machine::address_for;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::sandbox;

/// A sandbox and a git server that it can reach.
pub struct Setting {
    pub sandbox: Sandbox,
    pub server: GitServer,
    /// The server as the sandbox sees it.
    pub url: String,
}

impl Setting {
    pub async fn new() -> Self {
        let sandbox = sandbox().await;
        let server = GitServer::start();
        let url = format!("http://{}:{}", address_for(&sandbox).await, server.port);
        Self { sandbox, server, url }
    }

    /// `POST git/checkout` of a repository of the server, with more fields.
    pub async fn post(&self, name: &str, more: Value) -> reqwest::Response {
        let mut body = json!({ "repoUrl": format!("{}/{name}.git", self.url) });
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        self.sandbox.post("/git/checkout", &body).await
    }

    /// A checkout that must work.
    pub async fn checkout(&self, name: &str, more: Value) -> Value {
        let response = self.post(name, more).await;
        assert!(response.headers().contains_key("process-id"));
        let checkout = ok(response).await;
        assert_eq!(checkout["success"], true);
        checkout
    }

    /// The output of a shell script, of both streams, without the last line feed.
    pub async fn sh(&self, script: &str) -> String {
        let text = self.sandbox.sh(&format!("{{ {script}\n}} 2>&1")).await.text();
        text.trim_end().to_owned()
    }

    /// The branch (empty: none), the commit and the file of a checkout, as git and `cat` see them.
    async fn state(&self, directory: &str) -> (String, String, String) {
        let script = format!(
            "cd {directory} && git status --porcelain && echo \"$(git branch --show-current)\" && git rev-parse HEAD && cat file.txt"
        );
        let text = self.sh(&script).await;
        let mut lines = text.lines().map(str::to_owned);
        let mut line = || lines.next().unwrap_or_else(|| panic!("{text}"));
        (line(), line(), line())
    }
}

fn state(branch: &str, commit: &str, file: &str) -> (String, String, String) {
    (branch.into(), commit.into(), file.into())
}

#[tokio::test]
async fn a_repository_is_cloned_by_its_default_branch() {
    let setting = Setting::new().await;
    let Commits { main, .. } = setting.server.add("project");
    let checkout = setting.checkout("project", json!({})).await;
    let url = format!("{}/project.git", setting.url);
    let expected = json!({
        "success": true, "repoUrl": url, "branch": "main", "commit": main, "targetDir": "/workspace/project",
    });
    assert_eq!(checkout, expected);
    assert_eq!(setting.state("project").await, state("main", &main, "three"));
    // It is as git leaves it: all branches, an upstream, the user's files, and nothing of the bridge.
    let script = "cd project && git branch -r --format='%(refname)' && git rev-parse --abbrev-ref @{upstream} && \
         git log --oneline | wc -l && git pull -q && [ -O .git/config ] && ! grep -i -e sandbar -e credential .git/config";
    assert_eq!(
        setting.sh(script).await,
        "refs/remotes/origin/HEAD\nrefs/remotes/origin/feature/x\nrefs/remotes/origin/main\norigin/main\n3"
    );
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_branch_a_tag_and_a_commit_are_checked_out() {
    let setting = Setting::new().await;
    let Commits {
        first,
        main,
        feature,
        pull,
    } = setting.server.add("project");
    for (i, (more, branch, commit, file)) in [
        (json!({ "branch": "feature/x" }), "feature/x", &feature, "feature"),
        (json!({ "ref": "feature/x" }), "feature/x", &feature, "feature"),
        (
            json!({ "ref": "refs/heads/feature/x" }),
            "feature/x",
            &feature,
            "feature",
        ),
        (json!({ "ref": "v1" }), "", &first, "one"),
        (json!({ "ref": "refs/tags/v1" }), "", &first, "one"),
        (json!({ "ref": first }), "", &first, "one"),
        (json!({ "ref": first[..8] }), "", &first, "one"),
        (json!({ "ref": pull }), "", &pull, "pull"),
        (json!({ "ref": "refs/pull/1/head" }), "", &pull, "pull"),
        (
            json!({ "ref": "feature/x", "depth": 1 }),
            "feature/x",
            &feature,
            "feature",
        ),
        (json!({ "ref": "v1", "depth": 1 }), "", &first, "one"),
        (json!({ "ref": main, "depth": 1 }), "", &main, "three"),
        (
            json!({ "ref": pull, "depth": 1, "filter": "blob:none" }),
            "",
            &pull,
            "pull",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = more.clone();
        body["targetDir"] = format!("of many/{i}").into();
        let checkout = setting.checkout("project", body).await;
        let found = checkout
            .get("branch")
            .map_or("", |branch| branch.as_str().unwrap());
        assert_eq!((found, &checkout["commit"]), (branch, &json!(commit)), "{more}");
        let directory = format!("'of many/{i}'");
        assert_eq!(
            setting.state(&directory).await,
            state(branch, commit, file),
            "{more}"
        );
    }
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_shallow_clone_has_the_last_commits_and_a_partial_one_no_old_files() {
    let setting = Setting::new().await;
    let Commits { main, .. } = setting.server.add("project");
    let shallow = json!({ "depth": 2, "targetDir": "shallow" });
    setting.checkout("project", shallow.clone()).await;
    let log = "git -C shallow log --format=%s";
    assert_eq!(setting.sh(log).await, "three\ntwo");
    // Again, with newer commits: it stays shallow.
    let newer = setting.server.commit("project", "four");
    let checkout = setting.checkout("project", shallow).await;
    assert_eq!(checkout["commit"], newer);
    assert_eq!(setting.state("shallow").await, state("main", &newer, "four"));
    assert_eq!(setting.sh(log).await, "four\nthree");

    let partial = json!({ "filter": "blob:none", "targetDir": "partial", "ref": main });
    setting.checkout("project", partial).await;
    assert_eq!(setting.state("partial").await, state("", &main, "three"));
    let script =
        "cd partial && git rev-list --objects --all --missing=print | grep -c '^?' && git show v1:file.txt";
    // The contents of old files are fetched when they are read.
    assert_eq!(setting.sh(script).await, "4\none");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn submodules_are_checked_out_when_they_are_asked_for() {
    let setting = Setting::new().await;
    let Commits { first, .. } = setting.server.add("inner");
    setting.server.add_with_submodule("outer", "inner", &first);
    setting.checkout("outer", json!({})).await;
    assert_eq!(setting.sh("ls outer/sub").await, "");
    for more in [
        json!({ "submodules": true }),
        json!({ "submodules": true, "depth": 1, "targetDir": "shallow" }),
    ] {
        let checkout = setting.checkout("outer", more).await;
        let directory = format!("{}/sub", checkout["targetDir"].as_str().unwrap());
        assert_eq!(setting.state(&directory).await, state("", &first, "one"));
    }
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_checkout_of_the_same_origin_is_fetched_and_switched() {
    let setting = Setting::new().await;
    let Commits {
        first, main, feature, ..
    } = setting.server.add("project");
    setting.checkout("project", json!({})).await;
    let newer = setting.server.commit("project", "four");
    for (more, branch, commit, file) in [
        (json!({ "branch": "feature/x" }), "feature/x", &feature, "feature"),
        (json!({ "ref": "v1" }), "", &first, "one"),
        (json!({}), "main", &newer, "four"),
        (json!({ "ref": main }), "", &main, "three"),
        (json!({ "ref": feature[..10] }), "", &feature, "feature"),
        (json!({ "ref": "main" }), "main", &newer, "four"),
    ] {
        let checkout = setting.checkout("project", more.clone()).await;
        assert_eq!(checkout["commit"], **commit, "{more}");
        assert_eq!(
            setting.state("project").await,
            state(branch, commit, file),
            "{more}"
        );
    }
    // A file that was changed and would be lost is an error, and stays.
    setting.sh("echo mine >project/file.txt").await;
    let response = setting.post("project", json!({ "ref": "v1" })).await;
    let message = sandbar_tests::client::assert_error(response, 502, "git_error").await;
    assert!(message.contains("would be overwritten"), "{message}");
    assert_eq!(setting.sh("cat project/file.txt").await, "mine");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_checkout_is_a_process_and_its_stream_ends_in_the_result() {
    let setting = Setting::new().await;
    let Commits { main, .. } = setting.server.add("project");
    let body = json!({ "repoUrl": format!("{}/project.git", setting.url) });
    let request = setting.sandbox.request(Method::POST, "/git/checkout").json(&body);
    let response = request
        .header("Accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let id = response.headers()["process-id"].to_str().unwrap().to_owned();
    let events = sandbar_tests::sse::Events::new(response.bytes_stream())
        .finish()
        .await;
    assert_eq!((events.code(), events.text().as_str()), (0, ""));
    assert!(events.stderr_text().contains("Cloning into"), "{events:?}");
    let result = events.result.clone().expect("a result");
    assert_eq!(
        (&result["success"], &result["commit"]),
        (&json!(true), &json!(main))
    );

    // The log has the same events, the result too.
    let process = setting.sandbox.process(&id);
    let again = process.log("").await.finish().await;
    assert_eq!((again.result, again.stderr), (events.result, events.stderr));
    let record = process.show().await;
    assert_eq!(
        (&record["state"], &record["argv"][1]),
        (&json!("exited"), &json!("git-checkout"))
    );

    // A failure has its own result.
    let request = setting.sandbox.request(Method::POST, "/git/checkout");
    let request = request.json(&json!({ "repoUrl": format!("{}/nothing.git", setting.url) }));
    let response = request
        .header("Accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    let events = sandbar_tests::sse::Events::new(response.bytes_stream())
        .finish()
        .await;
    let result = events.result.clone().expect("a result");
    assert_eq!(
        (&result["success"], &result["code"]),
        (&json!(false), &json!("git_repository_not_found"))
    );
    assert_eq!(events.code(), 1);
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_repository_of_many_files_is_checked_out() {
    let setting = Setting::new().await;
    setting.server.add_with_files("many", 50_000);
    setting.checkout("many", json!({ "depth": 1 })).await;
    let script = "cd many && git status --porcelain && find . -name 'f*' -type f -not -path './.git/*' | wc -l && cat d99/f49999";
    assert_eq!(setting.sh(script).await, "50000\nfile 49999");
    setting.sandbox.destroy().await;
}
