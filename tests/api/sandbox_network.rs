//! The network of a sandbox: its own, or none.

use std::net::{Ipv4Addr, TcpListener};

use sandbar_tests::Sandbox;
use sandbar_tests::machine::{address, address_for};
use sandbar_tests::process::ok;
use serde_json::json;

use crate::port::addresses;
use crate::sandbox_settings::{create, info, patch};
use crate::{bridge, client, sandbox};

/// Whether a command of the sandbox can connect to a TCP server.
async fn connects(sandbox: &Sandbox, address: Ipv4Addr, port: u16) -> bool {
    let script = format!("exec 3<>/dev/tcp/{address}/{port} && echo connected");
    let body = json!({ "argv": ["timeout", "10", "bash", "-c", script] });
    sandbox.exec(&body).await.text() == "connected\n"
}

/// Starts a server on this port that says `text`, and waits until it listens.
async fn serve(sandbox: &Sandbox, port: u16, text: &'static str) {
    assert_eq!(sandbox.put("workspace/index.html", text).await.status(), 200);
    let port_argument = port.to_string();
    let server = json!({ "argv": ["python3", "-m", "http.server", port_argument], "id": "server" });
    ok(sandbox.post("/process", &server).await).await;
    let wait = json!({ "for": "port", "port": port, "path": "/", "timeout_ms": 20000 });
    let waited = ok(sandbox.post("/process/server/wait", &wait).await).await;
    assert_eq!(waited["state"], "ready", "{waited}");
}

/// The page of the server at a host of the sandbox itself.
async fn page(sandbox: &Sandbox, host: &str, port: u16) -> String {
    let script = format!(
        "import urllib.request as r; print(r.urlopen('http://{host}:{port}/', timeout=20).read().decode())"
    );
    sandbox
        .exec(&json!({ "argv": ["python3", "-c", script] }))
        .await
        .text()
}

#[tokio::test]
async fn two_sandboxes_listen_on_one_port_and_each_sees_its_own_server() {
    if bridge().shares_network() {
        eprintln!("skipped: sandboxes share the network of this machine");
        return;
    }
    let (one, two) = (sandbox().await, sandbox().await);
    serve(&one, 3000, "one").await;
    serve(&two, 3000, "two").await;
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(page(&one, host, 3000).await, "one\n");
        assert_eq!(page(&two, host, 3000).await, "two\n");
    }
    // The end of one is not that of the other.
    assert_eq!(one.destroy().await, 204);
    assert_eq!(page(&two, "127.0.0.1", 3000).await, "two\n");
    assert_eq!(two.destroy().await, 204);
}

#[tokio::test]
async fn a_server_on_either_loopback_address_is_reached_from_inside() {
    let sandbox = sandbox().await;
    let addresses = addresses(&sandbox).await;
    for (address, port) in [("127.0.0.1", 18_995), ("::1", 18_996)] {
        if !addresses.contains(&address) {
            continue;
        }
        let body = json!({ "argv": ["python3", "-m", "http.server", port.to_string(), "--bind", address], "id": address.replace(':', "") });
        let process = sandbox.start(&body).await;
        let wait = json!({ "for": "port", "port": port, "path": "/", "timeout_ms": 20000 });
        assert_eq!(process.wait(&wait).await["state"], "ready", "{address}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_loopback_of_the_machine_is_out_of_reach_and_the_machine_is_not() {
    if !bridge().is_local && !bridge().has_containers {
        eprintln!("skipped: the sandboxes are elsewhere");
        return;
    }
    let sandbox = sandbox().await;
    let private = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let public = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let machine = address_for(&sandbox).await;
    let port = public.local_addr().unwrap().port();
    assert!(connects(&sandbox, machine, port).await);
    if !bridge().shares_network() {
        let private_port = private.local_addr().unwrap().port();
        // The address of the machine in the networks of slirp4netns, which others use for its loopback.
        let gateway = Ipv4Addr::new(10, 0, 2, 2);
        for (address, port) in [
            (Ipv4Addr::LOCALHOST, private_port),
            (gateway, private_port),
            (machine, private_port),
            (Ipv4Addr::LOCALHOST, port),
            (gateway, port),
        ] {
            assert!(!connects(&sandbox, address, port).await, "{address}:{port}");
        }
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_sandbox_without_internet_has_a_loopback_device_only() {
    let sandbox = create(&client(), &json!({ "internet": false })).await;
    assert_eq!(info(&sandbox).await["settings"]["internet"], false);
    if bridge().is_local {
        let devices = sandbox
            .sh("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '")
            .await;
        assert_eq!(devices.text(), "lo\n");
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = client().create().await;
        for address in [Ipv4Addr::LOCALHOST, address()] {
            assert!(!connects(&sandbox, address, port).await);
        }
        assert!(connects(&other, address(), port).await, "others have one");
        assert_eq!(other.destroy().await, 204);
    }
    // Its own servers are reached.
    serve(&sandbox, 18_993, "inside").await;

    let changed = ok(patch(&sandbox, &json!({ "internet": true })).await).await;
    assert_eq!(changed["pendingRestart"], json!(["internet"]));
    assert_eq!(sandbox.post("/stop", &json!({})).await.status(), 204);
    let started = ok(sandbox.post("/start", &json!({})).await).await;
    assert!(started.get("pendingRestart").is_none(), "{started}");
    if bridge().is_local {
        let devices = sandbox.sh("tail -n +3 /proc/net/dev | wc -l").await;
        assert_ne!(devices.text(), "1\n");
    }
    assert_eq!(sandbox.destroy().await, 204);
}
