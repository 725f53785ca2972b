//! Tunnels. On a bridge of their own, whose `cloudflared` and whose Cloudflare are stand-ins.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Method, Response};
use sandbar_tests::bridge::free_port;
use sandbar_tests::client::assert_error;
use sandbar_tests::cloudflare::{ACCOUNT, Cloudflare, TOKEN, ZONE};
use sandbar_tests::{Bridge, Client, Sandbox};
use serde_json::{Value, json};

use crate::eventually;

const STAND_IN: &str = include_str!("../stand-ins/cloudflared");

/// A bridge and its stand-in for Cloudflare.
pub struct World {
    pub client: Client,
    pub cloudflare: Cloudflare,
}

impl World {
    pub fn start(vars: &[(&str, &str)]) -> Self {
        let cloudflare = Cloudflare::start();
        let mut all = vec![
            ("SANDBOX_CLOUDFLARED", "/workspace/cloudflared"),
            ("CLOUDFLARE_API_BASE_URL", &cloudflare.url),
            ("CLOUDFLARE_API_TOKEN", TOKEN),
        ];
        all.extend(vars);
        let client = Client::new(&Bridge::start(&all));
        Self { client, cloudflare }
    }

    /// The number of resources left at Cloudflare for a sandbox's tunnel.
    pub fn left(&self, sandbox: &Sandbox, name: &str) -> usize {
        self.cloudflare.tunnels(&tunnel_name(sandbox, name)).len()
            + self.cloudflare.records(&format!("{name}.example.com")).len()
    }
}

pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::start(&[("CLOUDFLARE_ACCOUNT_ID", ACCOUNT), ("CLOUDFLARE_ZONE_ID", ZONE)]))
}

/// The lock for tests that break the API stand-in, which breaks it for all of them.
pub fn in_turn() -> &'static tokio::sync::RwLock<()> {
    static TURN: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());
    &TURN
}

pub async fn sandbox(world: &World) -> Sandbox {
    // Connections of its own: those of another test end with its runtime.
    let sandbox = Client::new(&world.client.bridge).create().await;
    install(&sandbox).await;
    sandbox
}

pub async fn install(sandbox: &Sandbox) {
    assert_eq!(sandbox.put("workspace/cloudflared", STAND_IN).await.status(), 200);
    assert_eq!(sandbox.sh("chmod +x cloudflared").await.code(), 0);
}

pub fn tunnel_name(sandbox: &Sandbox, name: &str) -> String {
    format!("sandbox-{}-{name}", sandbox.id)
}

pub async fn open(sandbox: &Sandbox, port: u16, body: Option<Value>) -> Response {
    let request = sandbox.request(Method::POST, &format!("/tunnel/{port}"));
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    request.send().await.expect("an answer")
}

pub async fn opened(sandbox: &Sandbox, port: u16, body: Option<Value>) -> Value {
    let response = open(sandbox, port, body).await;
    if response.status() != 200 {
        panic!("{}: {}", response.status(), response.text().await.unwrap());
    }
    assert!(response.headers().contains_key("sandbox-boot-id"));
    response.json().await.expect("JSON")
}

pub async fn close(sandbox: &Sandbox, port: u16) -> Response {
    let request = sandbox.request(Method::DELETE, &format!("/tunnel/{port}"));
    request.send().await.expect("an answer")
}

/// The input of each run of the stand-in.
pub async fn runs(sandbox: &Sandbox) -> Vec<Value> {
    let text = sandbox.sh("cat runs").await.text();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub async fn is_alive(sandbox: &Sandbox, run: &Value) -> bool {
    let script = format!("test -d /proc/{}", run["pid"]);
    sandbox.sh(&script).await.code() == 0
}

#[tokio::test]
async fn bad_ports_and_bodies_are_400_and_start_nothing() {
    let sandbox = crate::sandbox().await;
    for port in [
        "80", "1023", "28671", "65536", "0", "-1", "8080.5", "http", "8080/x",
    ] {
        for method in [Method::POST, Method::DELETE] {
            let request = sandbox.request(method, &format!("/tunnel/{port}"));
            let text = assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
            assert!(text.contains("Invalid port"), "{port}: {text}");
        }
    }
    for (body, word) in [
        ("{", "Invalid JSON body"),
        ("[]", "Invalid JSON body"),
        (r#"{"name":1}"#, "name must be a string"),
        (r#"{"name":""}"#, "DNS label"),
        (r#"{"name":"My.App"}"#, "DNS label"),
        (r#"{"name":"-app"}"#, "DNS label"),
    ] {
        let request = sandbox.request(Method::POST, "/tunnel/8080").body(body);
        let text = assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
        assert!(text.contains(word), "{body}: {text}");
    }
    let long = format!(r#"{{"name":"app","x":"{}"}}"#, "x".repeat(20_000));
    let request = sandbox.request(Method::POST, "/tunnel/8080").body(long);
    assert_error(request.send().await.unwrap(), 413, "payload_too_large").await;
    assert_eq!(close(&sandbox, 8080).await.status(), 204, "there is none");
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn a_quick_tunnel_is_reused_until_it_is_deleted() {
    let sandbox = sandbox(world()).await;
    let tunnel = opened(&sandbox, 8080, None).await;
    let run = &runs(&sandbox).await[0];
    let host = format!("stand-in-{}.trycloudflare.com", run["pid"]);
    let expected = json!({
        "id": tunnel["id"], "port": 8080, "url": format!("https://{host}"), "hostname": host,
        "createdAt": tunnel["createdAt"], "listening": tunnel["listening"],
    });
    assert_eq!(tunnel, expected);
    // Another sandbox may listen on the port of a shared network.
    let shares_network = world().client.bridge.shares_network();
    assert!(tunnel["listening"] == false || shares_network, "{tunnel}");
    assert!(tunnel["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(run["token"], Value::Null);
    for body in [None, Some(json!({})), Some(json!({ "name": null }))] {
        assert_eq!(opened(&sandbox, 8080, body).await["url"], tunnel["url"]);
    }
    let response = close(&sandbox, 8080).await;
    assert_eq!(response.status(), 204);
    assert!(response.bytes().await.unwrap().is_empty());
    assert!(!is_alive(&sandbox, run).await);
    assert_ne!(opened(&sandbox, 8080, None).await["url"], tunnel["url"]);
    assert_eq!(runs(&sandbox).await.len(), 2);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_visitor_reaches_the_port() {
    let sandbox = sandbox(world()).await;
    // Many tutorials listen on 3000.
    let port = if world().client.bridge.shares_network() {
        free_port()
    } else {
        3000
    };
    let serve = format!("echo hello > index.html; python3 -m http.server {port} >/dev/null 2>&1 & echo up");
    assert_eq!(sandbox.sh(&serve).await.text(), "up\n");
    eventually("the server listens", || async {
        opened(&sandbox, port, None).await["listening"] == true
    })
    .await;
    let visit = format!(
        "curl -sS --retry 20 --retry-delay 1 --retry-all-errors -X POST http://127.0.0.1:{}/visit",
        runs(&sandbox).await[0]["metrics"]
    );
    assert_eq!(sandbox.sh(&visit).await.text(), "hello\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_missing_cloudflared_is_502_and_nothing_is_made() {
    let _turn = in_turn().read().await;
    let world = world();
    let sandbox = world.client.create().await;
    for body in [None, Some(json!({ "name": "missing" }))] {
        let text = assert_error(open(&sandbox, 8080, body).await, 502, "tunnel_error").await;
        assert!(
            text.contains("SANDBOX_CLOUDFLARED") && text.contains("/workspace/cloudflared"),
            "{text}"
        );
    }
    let made = format!("cfd_tunnel?name={}", tunnel_name(&sandbox, "missing"));
    assert_eq!(world.cloudflare.calls(&made), 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn visitors_keep_a_sandbox_awake_and_sleep_takes_its_tunnels_away() {
    // Account and zone are those that the token can see.
    let world = World::start(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let sandbox = sandbox(&world).await;
    let port = free_port();
    let serve = format!("(setsid python3 -m http.server {port} >/dev/null 2>&1 &)");
    sandbox.sh(&serve).await;
    opened(&sandbox, 9000, Some(json!({ "name": "awake" }))).await;
    opened(&sandbox, port, None).await;
    let boot = sandbox.boot_id().await;
    // Neither it nor the server is a command any more: the traffic keeps the sandbox awake.
    let visits = format!(
        "(setsid sh -c 'for i in $(seq 24); do curl -sS -X POST http://127.0.0.1:{}/visit; sleep 0.5; done' \
         >/dev/null 2>&1 &)",
        runs(&sandbox).await[1]["metrics"]
    );
    sandbox.sh(&visits).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(sandbox.running().await, "four times SANDBOX_SLEEP_AFTER");
    assert_eq!(world.left(&sandbox, "awake"), 2);

    eventually("it sleeps", || async { !sandbox.running().await }).await;
    eventually("nothing is left at Cloudflare", || async {
        world.left(&sandbox, "awake") == 0
    })
    .await;
    assert!(!sandbox.running().await, "cleaning up does not wake it");
    assert_ne!(sandbox.boot_id().await, boot);
    sandbox.destroy().await;
}

#[tokio::test]
async fn commands_cannot_read_the_token_of_a_tunnel() {
    let _turn = in_turn().read().await;
    let world = world();
    if !world.client.bridge.has_containers {
        eprintln!("skipped: commands are the same user as sandboxd here");
        return;
    }
    let sandbox = sandbox(world).await;
    opened(&sandbox, 8080, Some(json!({ "name": "secret" }))).await;
    let run = &runs(&sandbox).await[0];
    assert_eq!(run["uid"], 0);
    let pid = &run["pid"];
    let script = format!(
        "cat /proc/{pid}/environ; kill -9 {pid}; grep -ars 'secret-[t]oken' /proc/[0-9]*/cmdline /tmp /run /etc; true"
    );
    let finished = sandbox.sh(&script).await;
    let output =
        String::from_utf8_lossy(&[finished.stdout.clone(), finished.stderr.clone()].concat()).into_owned();
    assert!(!output.contains("secret-token"), "{output}");
    assert!(is_alive(&sandbox, run).await, "{output}");
    sandbox.destroy().await;
}
