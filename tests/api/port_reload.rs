//! Servers that reload a page when its files change, behind both forms of a port's address.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use sandbar_tests::framework::{Application, Form};
use sandbar_tests::{Sandbox, browser};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::port_frameworks::{node, python};
use crate::port_socket::{Socket, connect};

/// The timeout for anything that should happen.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The time after which an edit of which nothing was told is made again.
const EDIT_INTERVAL: Duration = Duration::from_secs(5);

async fn vite() -> Application {
    let command = "node_modules/.bin/vite --port {port} --strictPort";
    node("vite", command, Some("/")).await
}

async fn next() -> Application {
    let command = "node_modules/.bin/next dev --port {port}";
    node("next", command, Some("/")).await
}

/// Replaces a text in a file of the workspace, again until a message as wanted tells of it: Vite misses
/// an edit in the first moments after its start.
async fn edit(
    sandbox: &Sandbox,
    path: &str,
    (from, to): (&str, &str),
    socket: &mut Socket,
    is_wanted: impl Fn(&Value) -> bool,
) -> Value {
    let path = format!("workspace/{path}");
    let text = sandbox.get(&path).await.text().await.unwrap();
    assert!(text.contains(from), "{path}: {text}");
    let text = text.replace(from, to);
    let edited = async {
        loop {
            assert_eq!(sandbox.put(&path, text.clone()).await.status(), 200);
            let told = message(socket, "change", &is_wanted);
            if let Ok(message) = timeout(EDIT_INTERVAL, told).await {
                return message;
            }
        }
    };
    timeout(TIMEOUT, edited).await.expect("a message in time")
}

/// Reads JSON messages until one is as wanted. Panics with those that came if none is in time.
async fn message(socket: &mut Socket, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = socket.next().await {
            let message = serde_json::from_slice(&frame.into_data()).unwrap_or_default();
            if is_wanted(&message) {
                return Some(message);
            }
            seen.push(message);
        }
        None
    };
    let found = timeout(TIMEOUT, read).await.unwrap_or_default();
    found.unwrap_or_else(|| panic!("no {what}, but {seen:?}"))
}

/// The part of a text between two others.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let rest = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start} in {text}"))
        .1;
    rest.split_once(end).expect("its end").0
}

#[tokio::test]
async fn vite_serves_its_modules_and_tells_of_an_edit() {
    let app = vite().await;
    let page = app.text(Form::Host, "/").await;
    assert!(page.contains(r#"src="/@vite/client""#), "{page}");
    let client = app.text(Form::Host, "/@vite/client").await;
    let token = between(&client, "wsToken = \"", "\"").to_owned();
    let module = app.get(Form::Host, "/src/main.js").await;
    assert_eq!(module.headers()["content-type"], "text/javascript");
    assert!(module.text().await.unwrap().contains(r#"from "/src/text.js""#));

    for (form, from, to) in [(Form::Host, "one", "two"), (Form::Path, "two", "three")] {
        let mut request = app.upgrade(form, &format!("/?token={token}"));
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "vite-hmr".parse().unwrap());
        // As a browser does: Vite looks at it.
        let origin = app.url(form).replace(&app.prefix(form), "");
        headers.insert("origin", origin.parse().unwrap());
        let (mut socket, response) = connect(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "vite-hmr");
        message(&mut socket, "greeting", |message| message["type"] == "connected").await;
        let is_update = |message: &Value| message["type"] == "update";
        let update = edit(&app.sandbox, "src/text.js", (from, to), &mut socket, is_update).await;
        assert_eq!(update["updates"][0]["acceptedPath"], "/src/text.js", "{update}");
        let changed = app.text(form, "/src/text.js").await;
        assert!(changed.contains(&format!("Text {to}")), "{changed}");
    }

    // By its path, the page is found, but not what it links to. A build with relative links is.
    assert_eq!(app.text(Form::Path, "/").await, page);
    let linked = app.sandbox.client.request(Method::GET, "/src/main.js");
    assert_eq!(linked.send().await.unwrap().status(), 404);
    let built = app.sandbox.sh("node_modules/.bin/vite build --base ./").await;
    assert_eq!(built.code(), 0, "{built:?}");
    let command = "http.server --bind 127.0.0.1 --directory dist {port}";
    let built = python(&app.sandbox, command, Some("/")).await;
    for form in Form::ALL {
        let page = built.text(form, "/").await;
        let script = between(&page, "src=\".", "\"");
        assert!(built.text(form, script).await.contains("Text three"));
    }
    app.sandbox.destroy().await;
}

#[tokio::test]
async fn next_serves_a_page_with_its_scripts_and_tells_of_an_edit() {
    let app = next().await;
    for (form, from, to) in [(Form::Host, "one", "two"), (Form::Path, "two", "three")] {
        let page = app.text(form, "/").await;
        assert!(page.contains(&format!("<h1>Page {from}</h1>")), "{page}");
        let script = format!("/_next/{}", between(&page, "src=\"/_next/", "\""));
        let response = app.get(form, &script).await;
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.contains("javascript"), "{kind}");
        assert!(!response.bytes().await.unwrap().is_empty());

        let mut request = app.upgrade(form, "/_next/hmr");
        let origin = app.url(Form::Host).parse().unwrap();
        request.headers_mut().insert("origin", origin);
        let (mut socket, _) = connect(request).await.unwrap();
        message(&mut socket, "greeting", |message| message["type"] == "sync").await;
        let is_change = |message: &Value| message["type"] == "serverComponentChanges";
        edit(&app.sandbox, "app/page.js", (from, to), &mut socket, is_change).await;
    }
    let page = app.text(Form::Host, "/").await;
    assert!(page.contains("<h1>Page three</h1>"), "{page}");
    // Next.js looks at the origin. `next.config.js` allows those of previews.
    for (origin, is_allowed) in [("preview.example.com", true), ("example.com", false)] {
        let mut request = app.upgrade(Form::Host, "/_next/hmr");
        let origin = format!("https://3000-a-b-c.{origin}").parse().unwrap();
        request.headers_mut().insert("origin", origin);
        assert_eq!(connect(request).await.is_ok(), is_allowed);
    }
    app.sandbox.destroy().await;
}

/// Opens the page of an application in a browser, which edits its files, and asserts the steps that
/// the script prints.
async fn edit_in_browser(app: &Application, name: &str, steps: &[&str]) {
    let bridge = &app.sandbox.client.bridge;
    let files = format!("{}/v1/sandbox/{}/file/workspace", bridge.url, app.sandbox.id);
    let addresses = json!({ "page": app.url(Form::Host), "files": files, "key": bridge.key });
    let printed = browser::run("preview/reload.mjs", name, &addresses.to_string()).await;
    for step in steps {
        assert!(printed.contains(step), "{step:?} is not in {printed}");
    }
}

#[tokio::test]
#[ignore = "needs Chromium: scripts/test runs it where scripts/browser finds one"]
async fn a_person_sees_edits_of_a_page_of_vite_without_a_reload() {
    let app = vite().await;
    let steps = ["replaced a module", "replaced a style", "reloaded for a change"];
    edit_in_browser(&app, "vite", &steps).await;
    app.sandbox.destroy().await;
}

#[tokio::test]
#[ignore = "needs Chromium: scripts/test runs it where scripts/browser finds one"]
async fn a_person_sees_edits_of_a_page_of_next_and_keeps_its_state() {
    let app = next().await;
    edit_in_browser(&app, "next", &["ran the scripts", "replaced a component"]).await;
    app.sandbox.destroy().await;
}
