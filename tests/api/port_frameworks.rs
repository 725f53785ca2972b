//! Web frameworks behind both forms of a port's address. `docs/ports.md` tells what each needs.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use reqwest::header::COOKIE;
use sandbar_tests::framework::{Application, Form, copy_node, copy_python};
use sandbar_tests::process::ok;
use sandbar_tests::{Sandbox, browser};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::port::free_port;
use crate::port_socket::{connect, frame};
use crate::sandbox;

/// The timeout for anything that should happen.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Starts an application for Node.js: `command` with `{port}` in it. Its server answers at `path`.
pub async fn node(name: &str, command: &str, path: Option<&str>) -> Application {
    let sandbox = sandbox().await;
    copy_node(&sandbox, name).await;
    let port = free_port(&sandbox).await;
    Application::start(
        &sandbox,
        &command.replace("{port}", &port.to_string()),
        port,
        path,
    )
    .await
}

/// Starts a module of Python: `command` with `{port}` in it.
pub async fn python(sandbox: &Sandbox, command: &str, path: Option<&str>) -> Application {
    let port = free_port(sandbox).await;
    let command = command.replace("{port}", &port.to_string());
    let command = format!("python3 -m {command}");
    Application::start(sandbox, &command, port, path).await
}

#[tokio::test]
async fn express_serves_routes_json_redirects_cookies_and_static_files() {
    let app = node("express", "node server.js {port}", Some("/hello/you")).await;
    for form in Form::ALL {
        assert_eq!(app.text(form, "/hello/a%20b").await, "Hello, a b");
        assert_eq!(
            app.text(form, "/static/file.txt").await,
            "A static file of Express.\n"
        );
        let sum = app
            .request(form, Method::POST, "/sum")
            .json(&json!({ "numbers": [1, 2, 3] }));
        let sum = sum.send().await.unwrap();
        assert_eq!(
            (sum.status().as_u16(), sum.text().await.unwrap().as_str()),
            (201, r#"{"sum":6}"#)
        );
        // It sees the address of the client.
        let address = format!("{}/address?q=1", app.url(form));
        assert_eq!(app.text(form, "/address?q=1").await, address);

        let moved = app.get(form, "/old").await;
        assert_eq!(moved.status(), 301);
        // In the host form, the path is one of this host.
        let again = match form {
            Form::Path => app.url(form) + "/hello/again",
            Form::Host => "/hello/again".to_owned(),
        };
        assert_eq!(moved.headers()["location"], again.as_str());
        let signed_in = app.get(form, "/signin").await;
        assert_eq!(signed_in.status(), 302);
        let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
        let (cookie, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly");
        let account = app.request(form, Method::GET, "/account").header(COOKIE, cookie);
        assert_eq!(
            account.send().await.unwrap().text().await.unwrap(),
            "Account of Ann"
        );
        assert_eq!(app.get(form, "/none").await.status(), 404);
    }
    app.sandbox.destroy().await;
}

#[tokio::test]
async fn flask_reads_forms_keeps_a_session_and_knows_its_public_address() {
    let sandbox = sandbox().await;
    copy_python(&sandbox).await;
    let app = python(&sandbox, "flask --app form run --port {port}", Some("/")).await;
    for form in Form::ALL {
        let url = app.url(form);
        let addresses = app.get(form, "/addresses?q=%C3%BC").await;
        let seen = json!({ "request": format!("{url}/addresses?q=ü"), "page": format!("{url}/") });
        assert_eq!(ok(addresses).await, seen);
        let sent = app
            .request(form, Method::POST, "/form")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("name=Ann+%26+B%C3%BC");
        let sent = sent.send().await.unwrap();
        assert_eq!(sent.status(), 302);
        // Flask has put the prefix before the path, and it is not there twice.
        let page = match form {
            Form::Path => url.clone() + "/",
            Form::Host => "/".to_owned(),
        };
        assert_eq!(sent.headers()["location"], page.as_str());
        let cookie = sent.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.ends_with("; HttpOnly; Path=/"), "{cookie}");
        let cookie = cookie.split_once(';').unwrap().0;
        let page = app.request(form, Method::GET, "/").header(COOKIE, cookie);
        assert_eq!(
            page.send().await.unwrap().text().await.unwrap(),
            "Hello, Ann & Bü"
        );
        assert_eq!(app.text(form, "/").await, "Hello, nobody");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn fastapi_streams_events_and_a_gibibyte_and_takes_uploads_and_websockets() {
    let sandbox = sandbox().await;
    copy_python(&sandbox).await;
    let app = python(&sandbox, "uvicorn stream:app --port {port}", Some("/items")).await;
    for form in Form::ALL {
        let events = app.get(form, "/events").await;
        assert_eq!(
            events.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        let mut events = events.bytes_stream();
        for event in ["first", "second", "third"] {
            let published = app.request(form, Method::POST, &format!("/events/{event}"));
            assert_eq!(published.send().await.unwrap().status(), 200);
            let received = timeout(TIMEOUT, events.next()).await.expect("an event in time");
            assert_eq!(received.unwrap().unwrap(), format!("data: {event}\n\n"));
        }
        let ended = app.request(form, Method::POST, "/events/end").send().await;
        assert_eq!(ended.unwrap().status(), 200);
        assert!(
            timeout(TIMEOUT, events.next())
                .await
                .expect("the end in time")
                .is_none()
        );

        // The redirect names the address that the server knows.
        let slash = app.get(form, "/items/?q=1").await;
        assert_eq!(slash.status(), 307);
        assert_eq!(
            slash.headers()["location"],
            format!("{}/items?q=1", app.url(form)).as_str()
        );

        let mut request = app.upgrade(form, "/echo");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "own".parse().unwrap());
        let (mut socket, response) = connect(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "own");
        for text in ["ü".to_owned(), "x".repeat(100_000)] {
            socket.send(Message::text(text.clone())).await.unwrap();
            assert_eq!(
                frame(&mut socket).await,
                Some(Message::text(format!("echo of {text}")))
            );
        }

        let file = "line of a file\n".repeat(1 << 20);
        let part = "Content-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"";
        let upload = app
            .request(form, Method::POST, "/upload")
            .header("Content-Type", "multipart/form-data; boundary=limit")
            .body(format!("--limit\r\n{part}\r\n\r\n{file}\r\n--limit--\r\n"));
        let seen = ok(upload.send().await.unwrap()).await;
        let digest = format!("{:x}", Sha256::digest(&file));
        assert_eq!(
            seen,
            json!({ "name": "a b.txt", "size": file.len(), "sha256": digest })
        );
    }
    let digest = app.text(Form::Path, "/digest/1024").await;
    let response = app.get(Form::Host, "/download/1024").await;
    assert_eq!(response.content_length(), Some(1 << 30));
    let (mut size, mut received) = (0, Sha256::new());
    let mut body = response.bytes_stream();
    while let Some(bytes) = timeout(TIMEOUT, body.next()).await.expect("bytes in time") {
        let bytes = bytes.unwrap();
        size += bytes.len();
        received.update(&bytes);
    }
    assert_eq!(
        (size, format!("\"{:x}\"", received.finalize())),
        (1 << 30, digest)
    );
    // The page of its documentation links to the description, by an absolute path.
    let linked = |page: &str| {
        page.split("url: '")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(linked(&app.text(Form::Host, "/docs").await), "/openapi.json");
    let port = free_port(&sandbox).await;
    let prefix = format!("/v1/sandbox/{}/port/{port}", sandbox.id);
    let command = format!("python3 -m uvicorn stream:app --port {port} --root-path {prefix}");
    let app = Application::start(&sandbox, &command, port, Some("/items")).await;
    let link = linked(&app.text(Form::Path, "/docs").await);
    assert_eq!(link, format!("{prefix}/openapi.json"));
    assert!(
        app.text(Form::Path, "/openapi.json")
            .await
            .contains("/download/{count}")
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn http_server_of_python_lists_directories_and_serves_files() {
    let sandbox = sandbox().await;
    let made = sandbox
        .sh("mkdir -p 'a b' && printf 0123456789 > 'a b/digits.txt'")
        .await;
    assert_eq!(made.code(), 0);
    let app = python(&sandbox, "http.server --bind 127.0.0.1 {port}", Some("/")).await;
    for form in Form::ALL {
        let list = app.text(form, "/").await;
        assert!(list.contains(r#"<a href="a%20b/">a b/</a>"#), "{list}");
        let moved = app.get(form, "/a%20b").await;
        assert_eq!(moved.status(), 301);
        assert!(
            moved.headers()["location"]
                .to_str()
                .unwrap()
                .ends_with(&(app.prefix(form) + "/a%20b/"))
        );
        let list = app.text(form, "/a%20b/").await;
        assert!(list.contains(r#"<a href="digits.txt">"#), "{list}");
        // It knows no ranges, so it sends the whole file.
        let file = app
            .request(form, Method::GET, "/a%20b/digits.txt")
            .header("Range", "bytes=2-4");
        let file = file.send().await.unwrap();
        assert_eq!((file.status().as_u16(), file.content_length()), (200, Some(10)));
        assert_eq!(file.headers()["content-type"], "text/plain");
        assert_eq!(file.text().await.unwrap(), "0123456789");
        let head = app
            .request(form, Method::HEAD, "/a%20b/digits.txt")
            .send()
            .await
            .unwrap();
        assert_eq!(
            (head.status().as_u16(), &head.headers()["content-length"]),
            (200, &"10".parse().unwrap())
        );
        assert_eq!(app.get(form, "/none").await.status(), 404);
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn grpc_web_calls_methods_and_receives_streams() {
    let app = node("grpc-web", "node server.js {port}", None).await;
    for (form, key) in [
        (Form::Path, app.sandbox.client.bridge.key.as_str()),
        (Form::Host, ""),
    ] {
        let steps = browser::run("frameworks/grpc-web/client.js", &app.url(form), key).await;
        for step in [
            "read its trailers",
            "an error with its metadata",
            "each message of a stream",
        ] {
            assert!(steps.contains(step), "{step:?} is not in {steps}");
        }
    }
    app.sandbox.destroy().await;
}
