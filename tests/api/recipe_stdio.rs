//! The recipes that speak with a process over `attach`: a coding agent, and an MCP server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use sandbar_tests::Bridge;
use sandbar_tests::bridge::project_root;
use sandbar_tests::program::{run, run_client};
use sandbar_tests::recipe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use crate::{bridge, client_typescript, sandbox};

/// A proxy before the bridge, as a bridge. It cuts a connection some time after a request for `attach`.
async fn cutting(lifetime: Duration) -> (Bridge, Arc<AtomicU32>) {
    let bridge = bridge();
    let target = bridge.url.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cuts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&cuts);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (target, cuts) = (target.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let server = TcpStream::connect(&target).await.unwrap();
                if pass(client, server, lifetime).await {
                    cuts.fetch_add(1, Relaxed);
                }
            });
        }
    });
    let bridge = Bridge {
        url,
        ..bridge.clone()
    };
    (bridge, cuts)
}

/// Forwards bytes in both directions. Returns whether the connection was cut.
async fn pass(client: TcpStream, server: TcpStream, lifetime: Duration) -> bool {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = async {
        let mut buffer = vec![0; 65536];
        // Far away, until there is a request.
        let mut deadline = Instant::now() + Duration::from_secs(3600);
        loop {
            let Ok(read) = timeout_at(deadline, from_client.read(&mut buffer)).await else {
                return true;
            };
            let bytes = &buffer[..read.unwrap_or(0)];
            if bytes.is_empty() || to_server.write_all(bytes).await.is_err() {
                return false;
            }
            // A client sends it on a connection that it has, too.
            if bytes.windows(8).any(|part| part == b"/attach?") {
                deadline = Instant::now() + lifetime;
            }
        }
    };
    tokio::select! {
        was_cut = forth => was_cut,
        _ = tokio::io::copy(&mut from_server, &mut to_client) => false,
    }
}

#[tokio::test]
async fn recipe_of_a_coding_agent_continues_after_a_cut() {
    client_typescript::build().await;
    let (bridge, cuts) = cutting(Duration::from_millis(300)).await;
    let mut program = recipe::node("coding-agent/client.ts");
    program.args([
        "run for i in $(seq 60); do echo step $i; sleep 0.03; done",
        "write notes.txt once",
        "run cat notes.txt",
        "sing",
    ]);
    let text = run_client(&mut program, &bridge).await;
    let steps: String = (1..=60).map(|step| format!("  step {step}\n")).collect();
    let expected = format!(
        "{steps}run for i in $(seq 60); do echo step $i; sleep 0.03; done: exit code 0\n\
         write notes.txt once: wrote notes.txt\n  once\nrun cat notes.txt: exit code 0\nsing: not understood: sing\n"
    );
    assert_eq!(text, expected);
    assert!(cuts.load(Relaxed) >= 3, "{cuts:?}");
}

#[tokio::test]
async fn recipe_of_an_mcp_server_is_reached_by_the_official_client() {
    client_typescript::build().await;
    let sandbox = sandbox().await;
    // The server and its packages as one file.
    let bundle = recipe::directory().join("mcp-server/server.cjs");
    let mut esbuild = Command::new(project_root().join("node_modules/.bin/esbuild"));
    esbuild.args([
        "clients/mcp_stdio_server.mjs",
        "--bundle",
        "--platform=node",
        "--log-level=error",
    ]);
    esbuild.arg(format!("--outfile={}", bundle.display()));
    run(esbuild.current_dir(project_root().join("tests"))).await;
    let server = std::fs::read(bundle).unwrap();
    assert_eq!(sandbox.put("workspace/server.cjs", server).await.status(), 200);
    sandbox.sh("echo noted > /workspace/note.txt").await;

    let mut program = recipe::node("mcp-server/client.ts");
    program
        .args(["exec node server.cjs", "note", r#"{"name":"note.txt"}"#])
        .env("SANDBOX_ID", &sandbox.id);
    let text = run_client(&mut program, bridge()).await;
    assert_eq!(
        text,
        "note: Reads a note of its directory\n[{\"type\":\"text\",\"text\":\"noted\\n\"}]\n"
    );
    sandbox.destroy().await;
}
