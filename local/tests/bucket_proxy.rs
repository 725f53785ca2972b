//! The way of a sandbox to the S3 of its object.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use reqwest::Client;
use sandbar_tests::build;
use sandbox_protocol::local::{Boot, Start, Status};

use crate::support::{Local, command, sh};

/// A stand-in for the Worker, which tells what it got, and the requests that it got.
async fn worker() -> (String, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    let answer = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let text = |name: &str| {
            headers
                .get(name)
                .map_or("-", |value| value.to_str().unwrap())
                .to_owned()
        };
        let request = format!("{method} {uri} {} {}", text("authorization"), body.len());
        seen.lock().unwrap().push(request.clone());
        ([("x-host", text("host"))], request)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, requests)
}

fn start(state: &Path, worker: &str) -> Local {
    let mut command = command(&build::sandboxd(), state);
    command.args(["--worker", worker]);
    Local::spawn(command)
}

async fn boot_offline(local: &Local, id: &str) -> Boot {
    let start = Start {
        offline: true,
        boot_id: format!("boot-offline-{id}"),
        env: [].into(),
    };
    let response = Client::new()
        .post(local.sandbox(id))
        .json(&start)
        .send()
        .await
        .unwrap();
    response.json::<Status>().await.unwrap().running.unwrap()
}

#[tokio::test]
async fn a_sandbox_reaches_the_s3_of_its_object_and_nothing_else_of_the_worker() {
    let state = tempfile::tempdir().unwrap();
    let (worker, requests) = worker().await;
    let local = start(state.path(), &worker);
    let boots = [
        local.boot("a", "boot-bucket").await,
        boot_offline(&local, "b").await,
    ];
    for (boot, id) in boots.iter().zip(["a", "b"]) {
        let Some(origin) = &boot.s3_origin else {
            assert!(!rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists());
            eprintln!("skipped: buckets cannot be mounted here (no /dev/fuse, or not root)");
            return;
        };
        let s3 = format!("/v1/sandbox/{id}/s3");
        let curl = async |arguments: &str| sh(boot, &format!("curl -sS --path-as-is {arguments}")).await;
        // A body of more than a megabyte, which curl announces by `Expect`.
        let put = format!(
            "-H 'Authorization: t' -T /tmp/large -D /tmp/head '{origin}{s3}/mounted-bucket/a%2Fb?x=1'; \
             grep -o 'x-host.*[0-9]' /tmp/head"
        );
        sh(boot, "head -c 3000000 /dev/zero >/tmp/large").await;
        let host = worker.strip_prefix("http://").unwrap();
        assert_eq!(
            curl(&put).await,
            format!("PUT {s3}/mounted-bucket/a%2Fb?x=1 t 3000000x-host: {host}")
        );
        let head = curl(&format!("-I '{origin}{s3}'")).await;
        assert!(
            head.contains("200 OK") && head.contains("content-length: "),
            "{head}"
        );

        let before = requests.lock().unwrap().len();
        for path in [
            "/health",
            "/v1/sandbox",
            "/v1/sandbox/c/s3/mounted-bucket/f",
            &format!("/v1/sandbox/{id}/exec"),
            &format!("{s3}/../exec"),
            &format!("{s3}/%2e%2E/exec"),
            &format!("{s3}\\..\\exec"),
        ] {
            let status = curl(&format!("-o /dev/null -w '%{{http_code}}' '{origin}{path}'")).await;
            assert_eq!(status, "404", "{path}");
        }
        let absolute =
            format!("-o /dev/null -w '%{{http_code}}' --request-target 'http://x{s3}/../exec' {origin}");
        assert_eq!(curl(&absolute).await, "404");
        assert_eq!(requests.lock().unwrap().len(), before);
    }
    // The port is that of one sandbox alone.
    let origin = boots[0].s3_origin.as_ref().unwrap();
    let other = format!("curl -sS -o /dev/null -w '%{{http_code}}' {origin}/v1/sandbox/a/s3");
    assert_ne!(sh(&boots[1], &other).await, "200");
}

#[tokio::test]
async fn a_worker_that_is_not_there_is_502() {
    let state = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let worker = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let local = start(state.path(), &worker);
    let boot = local.boot("a", "boot-no-worker").await;
    let Some(origin) = &boot.s3_origin else {
        eprintln!("skipped: buckets cannot be mounted here (no /dev/fuse, or not root)");
        return;
    };
    let curl = format!("curl -sS -o /dev/null -w '%{{http_code}}' {origin}/v1/sandbox/a/s3");
    assert_eq!(sh(&boot, &curl).await, "502");
}

#[tokio::test]
async fn many_idle_connections_of_a_sandbox_take_nothing_from_others() {
    let state = tempfile::tempdir().unwrap();
    let (worker, _) = worker().await;
    let local = start(state.path(), &worker);
    let boots = [
        local.boot("a", "boot-idle").await,
        local.boot("b", "boot-other").await,
    ];
    let [Some(idle), Some(origin)] = boots.each_ref().map(|boot| boot.s3_origin.clone()) else {
        eprintln!("skipped: buckets cannot be mounted here (no /dev/fuse, or not root)");
        return;
    };
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{}/fd", local.process.id()))
            .unwrap()
            .count()
    };
    let before = descriptors();
    let (_, port) = idle.rsplit_once(':').unwrap();
    let script = format!(
        "python3 -c 'import socket,time; s=[socket.create_connection((\"127.0.0.1\",{port})) for _ in range(200)]; \
         print(len(s),flush=True); time.sleep(600)' >/tmp/out 2>&1 & until [ -s /tmp/out ]; do sleep 0.05; done; cat /tmp/out"
    );
    assert_eq!(sh(&boots[0], &script).await, "200");
    assert!(descriptors() - before <= 150, "{}", descriptors() - before);
    let curl = format!("curl -sS -o /dev/null -w '%{{http_code}}' {origin}/v1/sandbox/b/s3");
    assert_eq!(sh(&boots[1], &curl).await, "200");
}
