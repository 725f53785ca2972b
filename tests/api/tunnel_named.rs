//! Tunnels with a name: the resources made at Cloudflare, and their removal.

use sandbar_tests::client::assert_error;
use sandbar_tests::cloudflare::{ACCOUNT, Cloudflare, token_of};
use sandbar_tests::docker::{container_of, docker};
use sandbar_tests::{Bridge, Client};
use serde_json::{Value, json};

use crate::tunnel::{close, in_turn, install, is_alive, open, opened, runs, sandbox, tunnel_name, world};
use crate::{bridge, eventually};

#[tokio::test]
async fn a_named_tunnel_is_made_at_cloudflare_and_deleted_there() {
    let _turn = in_turn().read().await;
    let world = world();
    let sandbox = sandbox(world).await;
    let tunnel = opened(&sandbox, 8080, Some(json!({ "name": "made" }))).await;
    let made = &world.cloudflare.tunnels(&tunnel_name(&sandbox, "made"))[0];
    let expected = json!({
        "id": made["id"], "port": 8080, "url": "https://made.example.com", "hostname": "made.example.com",
        "createdAt": tunnel["createdAt"], "name": "made", "listening": tunnel["listening"],
    });
    assert_eq!(tunnel, expected);
    let ingress = json!([
        { "hostname": "made.example.com", "service": "http://localhost:8080" },
        { "service": "http_status:404" },
    ]);
    assert_eq!(made["config"]["ingress"], ingress);
    let id = made["id"].as_str().unwrap();
    let [record] = &world.cloudflare.records("made.example.com")[..] else {
        panic!("one record")
    };
    assert_eq!(record["content"], format!("{id}.cfargotunnel.com"));
    assert_eq!(record["comment"], format!("sandbox-{}", sandbox.id));
    let run = &runs(&sandbox).await[0];
    assert_eq!(run["token"], token_of(id));
    assert!(!run["arguments"].to_string().contains("secret-token"));

    assert_eq!(
        opened(&sandbox, 8080, Some(json!({ "name": "made" }))).await,
        tunnel
    );
    assert_eq!(runs(&sandbox).await.len(), 1, "it is reused");
    for (port, body, message) in [
        (8080, json!({}), "the name made"),
        (8080, json!({ "name": "other" }), "the name made"),
        (8081, json!({ "name": "made" }), "belongs to port 8080"),
    ] {
        let text = assert_error(open(&sandbox, port, Some(body)).await, 502, "tunnel_error").await;
        assert!(
            text.starts_with("tunnel failed: ") && text.contains(message),
            "{text}"
        );
    }
    for _ in 0..2 {
        assert_eq!(close(&sandbox, 8080).await.status(), 204);
        assert_eq!(world.left(&sandbox, "made"), 0);
    }
    assert!(!is_alive(&sandbox, run).await);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_cloudflared_that_died_is_replaced_under_the_same_address() {
    let _turn = in_turn().read().await;
    let world = world();
    let sandbox = sandbox(world).await;
    let before = opened(&sandbox, 8080, Some(json!({ "name": "died" }))).await;
    let kill = format!("kill -9 {}", runs(&sandbox).await[0]["pid"]);
    if sandbox.sh(&kill).await.code() != 0 {
        // In a container commands may not end it.
        assert!(sandbox.client.bridge.has_containers);
        let container = container_of(&sandbox.boot_id().await).expect("its container");
        docker(&["exec", "--user", "0", &container, "sh", "-c", &kill]);
    }
    eventually("another one runs", || async {
        opened(&sandbox, 8080, Some(json!({ "name": "died" }))).await;
        runs(&sandbox).await.len() == 2
    })
    .await;
    let after = opened(&sandbox, 8080, Some(json!({ "name": "died" }))).await;
    assert_eq!((&after["id"], &after["url"]), (&before["id"], &before["url"]));
    assert_eq!(world.left(&sandbox, "died"), 2, "one tunnel, one record");
    sandbox.destroy().await;
}

#[tokio::test]
async fn tunnels_are_gone_with_their_sandbox() {
    let _turn = in_turn().read().await;
    let world = world();
    let sandbox = sandbox(world).await;
    opened(&sandbox, 8080, Some(json!({ "name": "gone-a" }))).await;
    opened(&sandbox, 8081, Some(json!({ "name": "gone-b" }))).await;
    opened(&sandbox, 8082, None).await;
    assert_eq!(sandbox.destroy().await, 204);
    eventually("nothing is left at Cloudflare", || async {
        world.left(&sandbox, "gone-a") + world.left(&sandbox, "gone-b") == 0
    })
    .await;
    assert!(!sandbox.running().await, "cleaning up starts nothing");

    // The id comes back without them, and the name is free for it.
    install(&sandbox).await;
    opened(&sandbox, 8080, Some(json!({ "name": "gone-b" }))).await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn what_cannot_be_deleted_is_tried_again() {
    let _turn = in_turn().write().await;
    let world = world();
    let sandbox = sandbox(world).await;
    opened(&sandbox, 8080, Some(json!({ "name": "stuck" }))).await;
    world
        .cloudflare
        .fail(Some(&format!("DELETE /accounts/{ACCOUNT}/cfd_tunnel")));
    let text = assert_error(close(&sandbox, 8080).await, 502, "tunnel_error").await;
    assert!(text.contains("broken by the test (1)"), "{text}");
    assert_eq!(sandbox.destroy().await, 204, "the sandbox is gone all the same");
    assert!(!sandbox.running().await);
    eventually("the failure is logged", || async {
        let log = &sandbox.client.bridge.log;
        log.count(&["tunnel not removed", &sandbox.id]) >= 2
    })
    .await;
    assert_eq!(world.left(&sandbox, "stuck"), 1, "its tunnel, without a hostname");
    world.cloudflare.fail(None);
    eventually("an alarm has removed it", || async {
        world.left(&sandbox, "stuck") == 0
    })
    .await;
}

#[tokio::test]
async fn a_hostname_of_somebody_else_is_left_alone() {
    let _turn = in_turn().read().await;
    let world = world();
    let sandbox = sandbox(world).await;
    let foreign = json!({ "id": "theirs", "type": "A", "name": "taken.example.com", "content": "192.0.2.1" });
    world.cloudflare.add_record(foreign.clone());
    let refused = open(&sandbox, 8080, Some(json!({ "name": "taken" }))).await;
    let text = assert_error(refused, 502, "tunnel_error").await;
    assert!(
        text.contains("taken.example.com") && text.contains("another name"),
        "{text}"
    );
    assert_eq!(world.cloudflare.records("taken.example.com"), [foreign]);
    assert_eq!(
        world.cloudflare.tunnels(&tunnel_name(&sandbox, "taken")),
        [Value::Null; 0]
    );
    let other = crate::tunnel::sandbox(world).await;
    opened(&sandbox, 8080, Some(json!({ "name": "shared" }))).await;
    let refused = open(&other, 8080, Some(json!({ "name": "shared" }))).await;
    assert_error(refused, 502, "tunnel_error").await;
    assert_eq!(
        world.cloudflare.records("shared.example.com")[0]["comment"],
        format!("sandbox-{}", sandbox.id)
    );
    sandbox.destroy().await;
    other.destroy().await;
}

#[tokio::test]
async fn a_failure_of_either_side_is_quoted_and_leaves_nothing() {
    let _turn = in_turn().write().await;
    let world = world();
    let sandbox = sandbox(world).await;
    sandbox.put("workspace/mode", "refuse").await;
    for body in [None, Some(json!({ "name": "failed" }))] {
        let text = assert_error(open(&sandbox, 8080, body).await, 502, "tunnel_error").await;
        assert!(
            text.contains("token is not valid") && !text.contains("secret-token"),
            "{text}"
        );
    }
    assert_eq!(world.left(&sandbox, "failed"), 0);
    sandbox.sh("rm -f mode").await;

    for step in ["GET /zones/", "POST /zones/", "PUT /accounts/", "POST /accounts/"] {
        world.cloudflare.fail(Some(step));
        let refused = open(&sandbox, 8080, Some(json!({ "name": "failed" }))).await;
        let text = assert_error(refused, 502, "tunnel_error").await;
        assert!(
            text.contains("Cloudflare's API") && text.contains("broken by the test"),
            "{step}: {text}"
        );
        world.cloudflare.fail(None);
        assert_eq!(world.left(&sandbox, "failed"), 0, "{step}");
    }
    opened(&sandbox, 8080, Some(json!({ "name": "failed" }))).await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn without_a_token_a_named_tunnel_is_502_and_wakes_nothing() {
    if std::env::var_os("BASE_URL").is_some() {
        eprintln!("skipped: a deployment may have a token");
        return;
    }
    let sandbox = Client::new(bridge()).create().await;
    let refused = open(&sandbox, 8080, Some(json!({ "name": "app" }))).await;
    let text = assert_error(refused, 502, "tunnel_error").await;
    for name in [
        "CLOUDFLARE_API_TOKEN",
        "CLOUDFLARE_ACCOUNT_ID",
        "CLOUDFLARE_ZONE_ID",
    ] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn a_token_that_cloudflare_refuses_is_502_with_the_permissions_it_needs() {
    let cloudflare = Cloudflare::start();
    let client = Client::new(&Bridge::start(&[
        ("SANDBOX_CLOUDFLARED", "/workspace/cloudflared"),
        ("CLOUDFLARE_API_BASE_URL", &cloudflare.url),
        ("CLOUDFLARE_API_TOKEN", "a-wrong-token"),
    ]));
    let sandbox = client.create().await;
    install(&sandbox).await;
    let refused = open(&sandbox, 8080, Some(json!({ "name": "app" }))).await;
    let text = assert_error(refused, 502, "tunnel_error").await;
    assert!(
        text.contains("Authentication error (10000)") && text.contains("DNS: Edit"),
        "{text}"
    );
    assert!(!text.contains("a-wrong-token"), "{text}");
    sandbox.destroy().await;
}
