//! The address of an exposed port in a browser.

use reqwest::Method;
use sandbar_tests::browser;
use serde_json::json;

use crate::port::Server;
use crate::sandbox;

#[tokio::test]
#[ignore = "needs Chromium: scripts/test runs it where scripts/browser finds one"]
async fn a_person_opens_the_address_of_a_port() {
    let (sandbox, sleeping) = (sandbox().await, sandbox().await);
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let open = sandbox.expose(server.port, &json!({})).await;
    assert_eq!(sleeping.sh("true").await.code(), 0);
    let asleep = sleeping.expose(3000, &json!({})).await;
    let stopped = sleeping.request(Method::POST, "/stop").send().await.unwrap();
    assert_eq!(stopped.status(), 204);
    let addresses = json!({
        "page": format!("{}html", open.answer["url"].as_str().unwrap()),
        "asleep": asleep.answer["url"],
    });
    let bridge = &sandbox.client.bridge;
    let steps = browser::run("preview/preview.mjs", &bridge.url, &addresses.to_string()).await;
    for step in [
        "loaded what",
        "exchanged frames",
        "sent its cookies",
        "read nothing of the API",
        "showed the page",
    ] {
        assert!(steps.contains(step), "{step:?} is not in {steps}");
    }
    sandbox.destroy().await;
    sleeping.destroy().await;
}
