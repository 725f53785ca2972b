//! HTTP to the servers of a sandbox.

use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response};
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::{client, sandbox};

const SERVER: &str = include_str!("port_server.py");

/// A server of a sandbox.
pub struct Server {
    pub sandbox: Sandbox,
    pub port: u16,
}

impl Server {
    /// Starts the server of `port_server.py` at an address of the sandbox, on a port that is free.
    pub async fn start(sandbox: &Sandbox, address: &str) -> Self {
        assert_eq!(sandbox.put("workspace/server.py", SERVER).await.status(), 200);
        Self::run(sandbox, &["python3", "server.py", address]).await
    }

    /// Starts a program that prints `port` and its port.
    pub async fn run(sandbox: &Sandbox, argv: &[&str]) -> Self {
        let process = sandbox.start(&json!({ "argv": argv })).await;
        let wait = json!({ "for": "log", "pattern": r"port \d+\n", "timeout_ms": 60_000 });
        let printed = process.wait(&wait).await;
        let port = printed["match"]
            .as_str()
            .and_then(|line| line.trim().strip_prefix("port "));
        Self {
            sandbox: sandbox.clone(),
            port: port.unwrap_or_else(|| panic!("{printed}")).parse().unwrap(),
        }
    }

    /// A request to the server; `target` begins with a slash.
    pub fn request(&self, method: Method, target: &str) -> RequestBuilder {
        self.sandbox
            .request(method, &format!("/port/{}{target}", self.port))
    }

    pub async fn get(&self, target: &str) -> Response {
        self.request(Method::GET, target).send().await.expect("an answer")
    }

    /// Sends a request that the server answers with its own view of it.
    pub async fn seen(&self, request: RequestBuilder) -> Value {
        ok(request.send().await.expect("an answer")).await
    }
}

/// The values of a header that the server has seen.
fn values<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = seen["headers"].as_array().expect("headers").iter();
    let named = headers.filter(|header| header[0] == name);
    named.map(|header| header[1].as_str().expect("text")).collect()
}

/// The addresses of the sandbox at which servers are reached. Docker's containers may have no IPv6.
pub async fn addresses(sandbox: &Sandbox) -> Vec<&'static str> {
    let mut addresses = vec!["127.0.0.1", "0.0.0.0"];
    if sandbox.sh("grep -q ' lo$' /proc/net/if_inet6").await.code() == 0 {
        addresses.extend(["::1", "::"]);
    }
    addresses
}

/// A port of the sandbox on which nothing listens.
pub async fn free_port(sandbox: &Sandbox) -> u16 {
    let script = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])";
    let printed = sandbox
        .exec(&json!({ "argv": ["python3", "-c", script] }))
        .await
        .text();
    printed.trim().parse().unwrap()
}

#[tokio::test]
async fn every_method_path_query_and_body_reaches_the_server_as_it_is() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
        let target = "/a%2Fb/%C3%BC//c/?d=%2F&e&authorization=x&f=a+b";
        let mut request = server.request(method.parse().unwrap(), target);
        if !["GET", "OPTIONS"].contains(&method) {
            request = request.body(format!("body of {method}"));
        }
        let seen = server.seen(request).await;
        assert_eq!(
            (&seen["method"], &seen["target"]),
            (&json!(method), &json!(target))
        );
        let body = if ["GET", "OPTIONS"].contains(&method) {
            String::new()
        } else {
            format!("body of {method}")
        };
        assert_eq!(seen["body"], body);
    }
    assert_eq!(server.seen(server.request(Method::GET, "/")).await["target"], "/");
    // Only `POST` of it is the wait for a port.
    assert_eq!(
        server.seen(server.request(Method::GET, "/wait")).await["target"],
        "/wait"
    );
    let head = server.request(Method::HEAD, "/").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(
        head.headers()["content-length"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 2
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_server_sees_its_own_host_the_client_s_headers_and_no_key() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let bridge = &sandbox.client.bridge;
    let request = server
        .request(Method::GET, "/x")
        .header("Cookie", "a=1; b=2")
        .header("X-Own", "own")
        .header("Accept", "text/x-own")
        .header("User-Agent", "tests")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Proto", "gopher")
        .header("X-Forwarded-Prefix", "/evil")
        .header("Forwarded", "host=evil.example")
        .header("Sandbox-Secret", "guess")
        .header("Sandbox-Proxy-Target", "/evil")
        .header("Sandbox-Upload-End-Mark", "evil")
        .header("Keep-Alive", "timeout=5")
        .header("TE", "trailers");
    let seen = server.seen(request).await;
    for (name, value) in [
        ("host", format!("localhost:{}", server.port)),
        ("cookie", "a=1; b=2".into()),
        ("x-own", "own".into()),
        ("accept", "text/x-own".into()),
        ("user-agent", "tests".into()),
        (
            "x-forwarded-host",
            bridge.url.split_once("://").unwrap().1.to_owned(),
        ),
        (
            "x-forwarded-proto",
            bridge.url.split_once("://").unwrap().0.to_owned(),
        ),
        (
            "x-forwarded-prefix",
            format!("/v1/sandbox/{}/port/{}", sandbox.id, server.port),
        ),
    ] {
        assert_eq!(values(&seen, name), [value], "{name} of {seen}");
    }
    for name in [
        "authorization",
        "forwarded",
        "sandbox-secret",
        "sandbox-proxy-target",
        "sandbox-upload-end-mark",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(values(&seen, name).is_empty(), "{name} of {seen}");
    }
    assert!(
        !seen.to_string().contains("6.6.6.6") && !seen.to_string().contains("evil"),
        "{seen}"
    );
    if !bridge.key.is_empty() {
        assert!(!seen.to_string().contains(&bridge.key), "{seen}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_client_sees_the_server_s_status_and_headers() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let own = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let ask = async |target: &str| {
        let request = server.request(Method::GET, target).build().unwrap();
        own.execute(request).await.unwrap()
    };
    let response = ask("/set").await;
    assert_eq!(response.status(), 302);
    // It leads to the server by the address that the client used.
    let bridge = &sandbox.client.bridge.url;
    let expected = format!(
        "{bridge}/v1/sandbox/{}/port/{}/elsewhere",
        sandbox.id, server.port
    );
    assert_eq!(response.headers()["location"], expected.as_str());
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Path=/", "b=2; HttpOnly"]);
    assert!(response.headers().get("x-hop").is_none());
    for status in [201, 204, 304, 404, 418, 500, 503] {
        let response = ask(&format!("/status?n={status}")).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["etag"]),
            (status, &"\"e\"".parse().unwrap())
        );
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn servers_on_each_loopback_address_and_two_at_once_are_reached() {
    let sandbox = sandbox().await;
    let mut servers = Vec::new();
    for address in addresses(&sandbox).await {
        servers.push(Server::start(&sandbox, address).await);
    }
    for server in servers.iter().chain(servers.iter().rev()) {
        let seen = server.seen(server.request(Method::GET, "/x")).await;
        assert_eq!(values(&seen, "host"), [format!("localhost:{}", server.port)]);
    }
    let list = sandbox.request(Method::GET, "/port").send().await.unwrap();
    let list = ok(list).await;
    for server in &servers {
        let state = json!({ "port": server.port, "listening": true });
        assert!(list["ports"].as_array().unwrap().contains(&state), "{list}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_server_of_a_sandbox_without_a_network_is_reached() {
    let body = json!({ "internet": false });
    let created = client().request(Method::POST, "/v1/sandbox").json(&body);
    let created = ok(created.send().await.unwrap()).await;
    let sandbox = client().sandbox(created["id"].as_str().unwrap());
    let server = Server::start(&sandbox, "127.0.0.1").await;
    assert_eq!(
        server.seen(server.request(Method::GET, "/x")).await["target"],
        "/x"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_port_without_a_server_and_one_that_is_none_are_errors() {
    let sandbox = sandbox().await;
    let port = free_port(&sandbox).await;
    for method in [Method::GET, Method::POST, Method::PUT] {
        let mut request = sandbox.request(method.clone(), &format!("/port/{port}/a"));
        if method != Method::GET {
            request = request.body("body");
        }
        let text = assert_error(request.send().await.unwrap(), 502, "port_not_listening").await;
        assert!(text.contains(&port.to_string()), "{text}");
    }
    for wrong in ["28671", "0", "65536", "http", "-1", "+80"] {
        for (method, rest) in [
            (Method::GET, format!("/port/{wrong}/")),
            (Method::POST, format!("/port/{wrong}/wait")),
        ] {
            let response = sandbox.request(method, &rest).send().await.unwrap();
            assert_error(response, 400, "invalid_request").await;
        }
    }
    let with_body = sandbox
        .request(Method::GET, &format!("/port/{port}/"))
        .body("body");
    assert_error(with_body.send().await.unwrap(), 400, "invalid_request").await;
    for none in [format!("/port/{port}"), "/port/".into()] {
        let response = sandbox.request(Method::GET, &none).send().await.unwrap();
        assert_eq!(response.headers()["allow"], "PUT, DELETE");
        assert_error(response, 405, "method_not_allowed").await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_sandbox_that_does_not_run_is_503_and_is_not_started() {
    let sandbox = sandbox().await;
    for _ in 0..2 {
        for (method, rest) in [
            (Method::GET, "/port/3000/"),
            (Method::POST, "/port/3000/a"),
            (Method::POST, "/port/3000/wait"),
        ] {
            let mut request = sandbox.request(method.clone(), rest);
            if method == Method::POST {
                request = request.body("{}");
            }
            assert_error(request.send().await.unwrap(), 503, "sandbox_not_running").await;
        }
        let list = sandbox.request(Method::GET, "/port").send().await.unwrap();
        assert_eq!(ok(list).await, json!({ "ports": [] }));
        assert!(!sandbox.running().await);
        // Also of one that has run.
        sandbox.sh("true").await;
        let stopped = sandbox.request(Method::POST, "/stop").send().await.unwrap();
        assert_eq!(stopped.status(), 204);
    }
    sandbox.destroy().await;
}
