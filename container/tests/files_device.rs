//! Real devices in the workspace are listed, left out and removed, and never opened: reading one may
//! have no end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod served;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use rustix::fs::{CWD, FileType, makedev, mknodat};
use rustix::io::Errno;
use sandbox_protocol::{ErrorCode, sandboxd};
use serde_json::{Value, json};
use served::{Served, error_of};

/// Makes a device. Other users than root may only make the character device 0:0.
fn device(path: &Path, kind: FileType, major: u32, minor: u32) -> bool {
    match mknodat(CWD, path, kind, 0o666.into(), makedev(major, minor)) {
        Err(Errno::PERM) => false,
        made => {
            made.unwrap();
            true
        }
    }
}

async fn send(served: &Served, method: Method, prefix: &str, name: &str, body: &str) -> Response {
    let request = served.client.request(method, served.url_of(prefix, name));
    request.body(body.to_owned()).send().await.unwrap()
}

async fn post(served: &Served, route: &str, body: &Value) -> Response {
    let url = format!("http://{}{route}", served.address);
    served
        .client
        .post(url)
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

async fn value(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_left_out_and_removed() {
    let served = Served::start().await;
    fs::create_dir(served.inside("t")).unwrap();
    fs::write(served.inside("t/f"), "needle").unwrap();
    let devices = [
        ("nothing", FileType::CharacterDevice, 0, 0),
        // Endless zeros, and the first loop device.
        ("zero", FileType::CharacterDevice, 1, 5),
        ("block", FileType::BlockDevice, 7, 0),
    ];
    let made = devices.into_iter().filter(|(name, kind, major, minor)| {
        device(&served.inside(&format!("t/{name}")), *kind, *major, *minor)
    });
    let made: Vec<_> = made.map(|(name, ..)| name).collect();
    assert!(!made.is_empty());
    let started = Instant::now();

    let list = value(send(&served, Method::GET, sandboxd::DIRECTORY, "t", "").await).await;
    let entries = list["entries"].as_array().unwrap().iter();
    let others = entries.filter(|entry| entry["type"] == "other").count();
    assert_eq!(others, made.len(), "{list}");
    let found = value(post(&served, sandboxd::SEARCH, &json!({ "pattern": "needle" })).await).await;
    assert_eq!(found["matches"].as_array().unwrap().len(), 1);
    let body = json!({ "from": "t", "to": "copied", "recursive": true });
    let copied = value(post(&served, sandboxd::COPY, &body).await).await;
    assert_eq!(copied, json!({ "ok": true, "skipped": made.len() }));
    assert_eq!(served.names("copied"), ["f"]);

    for name in &made {
        let path = format!("t/{name}");
        let edits = json!([{ "old": "a", "new": "b" }]);
        for response in [
            served.get(&path).await,
            served.put(&path, "x").await,
            send(
                &served,
                Method::PUT,
                sandboxd::FILE,
                &format!("{path}/below"),
                "x",
            )
            .await,
            post(&served, sandboxd::COPY, &json!({ "from": path, "to": "x" })).await,
            post(
                &served,
                sandboxd::EDIT,
                &json!({ "files": [{ "path": path, "edits": edits }] }),
            )
            .await,
            post(
                &served,
                sandboxd::SEARCH,
                &json!({ "pattern": "a", "path": path }),
            )
            .await,
        ] {
            let (status, code, text) = error_of(response).await;
            assert_eq!(
                (status.as_u16(), code),
                (400, ErrorCode::InvalidRequest),
                "{name}: {text}"
            );
        }
        let stat = value(send(&served, Method::GET, sandboxd::STAT, &path, "").await).await;
        assert_eq!(stat["type"], "other");
    }
    let alone = send(&served, Method::DELETE, sandboxd::FILE, "t/nothing", "").await;
    assert_eq!(alone.status(), 200);
    let url = format!("{}?recursive=true", served.url("t"));
    assert_eq!(served.client.delete(url).send().await.unwrap().status(), 200);
    assert_eq!(served.names(""), ["copied"]);
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "nothing waits for a device"
    );
}
