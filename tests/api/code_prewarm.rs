//! Kernels that are started before a context needs them.

use reqwest::Method;
use sandbar_tests::process::ok;
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::eventually;

/// The ids of the processes that run and are kernels.
async fn kernels(sandbox: &Sandbox) -> Vec<String> {
    let list = sandbox.request(Method::GET, "/process").send().await;
    let list = ok(list.expect("an answer")).await;
    let processes = list["processes"].as_array().expect("a list");
    let is_kernel =
        |process: &&Value| process["state"] == "running" && process["argv"].to_string().contains("ipykernel");
    let ids = processes.iter().filter(is_kernel);
    ids.map(|process| process["id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn kernel_of(sandbox: &Sandbox, id: &str) -> String {
    let contexts = sandbox.contexts().await;
    let context = contexts.iter().find(|context| context["id"] == id);
    let process = &context.expect("the context")["processId"];
    process.as_str().expect("a process").to_owned()
}

#[tokio::test]
async fn a_context_takes_the_kernel_that_is_ready_and_another_is_started() {
    let client = Client::new(&Bridge::start(&[("CODE_PREWARM", "python")]));
    let sandbox = client.create().await;
    assert_eq!(sandbox.sh("true").await.code(), 0);
    let one_is_ready = async || kernels(&sandbox).await.len() == 1;
    eventually("a kernel is ready", one_is_ready).await;
    let [first] = &kernels(&sandbox).await[..] else {
        panic!("one kernel")
    };
    // The version is known once it has answered.
    eventually("it has answered", async || {
        let languages = sandbox.request(Method::GET, "/language").send().await;
        let languages = ok(languages.expect("an answer")).await;
        languages.to_string().contains(r#""version":"3."#)
    })
    .await;
    let run = sandbox.python("x = 6 * 7\nx").await;
    assert_eq!(
        (&run["results"][0]["text"], &run["executionCount"]),
        (&json!("42"), &json!(1))
    );
    let id = run["contextId"].as_str().unwrap();
    assert_eq!(&kernel_of(&sandbox, id).await, first);
    eventually("another one is ready", async || {
        kernels(&sandbox).await.len() == 2
    })
    .await;
    // A context with variables of its own has a kernel of its own.
    let own = sandbox.context(&json!({ "env": { "MODE": "own" } })).await;
    let run = json!({ "context": own, "code": "import os; os.environ['MODE']" });
    assert_eq!(sandbox.run_code(&run).await["results"][0]["text"], "'own'");
    eventually("there are three", async || kernels(&sandbox).await.len() == 3).await;
    // Settings that change replace the one that waits.
    let before = kernels(&sandbox).await;
    let patched = sandbox
        .request(Method::PATCH, "")
        .json(&json!({ "env": { "SETTING": "new" } }));
    assert_eq!(patched.send().await.unwrap().status(), 200);
    eventually("it was replaced", async || {
        let now = kernels(&sandbox).await;
        now.len() == 3 && now != before
    })
    .await;
    let later = sandbox.context(&json!({})).await;
    let run = json!({ "context": later, "code": "import os; os.environ['SETTING']" });
    assert_eq!(sandbox.run_code(&run).await["results"][0]["text"], "'new'");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_language_without_a_kernel_harms_nothing() {
    let client = Client::new(&Bridge::start(&[("CODE_PREWARM", "cobol,python")]));
    let sandbox = client.create().await;
    assert_eq!(sandbox.python("1").await["results"][0]["text"], "1");
    sandbox.destroy().await;
}
