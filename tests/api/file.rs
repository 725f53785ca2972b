//! Files: a read returns the bytes that were written.

use futures_util::stream;
use reqwest::Method;
use sandbar_tests::client::assert_error;
use sandbar_tests::file::sha256;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::sandbox;

#[tokio::test]
async fn a_file_written_is_read_back_with_its_headers() {
    let sandbox = sandbox().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let written = sandbox.put("workspace/a/b/c.bin", bytes.clone()).await;
    assert_eq!(
        (written.status().as_u16(), written.json::<Value>().await.unwrap()),
        (200, json!({ "ok": true }))
    );
    let read = sandbox.get("workspace/a/b/c.bin").await;
    assert_eq!(read.status(), 200);
    assert_eq!(read.headers()["content-type"], "application/octet-stream");
    assert_eq!(read.headers()["content-length"], "100000");
    for name in ["etag", "last-modified", "accept-ranges"] {
        assert!(read.headers().contains_key(name), "{name}");
    }
    assert!(read.bytes().await.unwrap() == bytes);
    let head = sandbox
        .request(Method::HEAD, "/file/workspace/a/b/c.bin")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"100000".parse().unwrap())
    );
    assert!(head.bytes().await.unwrap().is_empty());
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_write_right_after_an_answer_without_a_body() {
    let sandbox = sandbox().await;
    let written = sandbox.put("workspace/f", "1").await;
    assert_eq!(written.status(), 200);
    let etag = sandbox.get("workspace/f").await.headers()["etag"].clone();
    let process = sandbox.start(&json!({ "argv": ["sleep", "60"] })).await;
    let mut followers = Vec::new();
    sandbox.put("workspace/empty", "").await;
    for (method, path, status) in [
        (Method::HEAD, "f", 200),
        (Method::GET, "f", 304),
        (Method::GET, "empty", 200),
    ] {
        // Takes the connection to `sandboxd` that is idle, so that the next request opens one.
        followers.push(process.log("?follow=true").await);
        let request = sandbox.request(method, &format!("/file/workspace/{path}"));
        let request = match status {
            304 => request.header("If-None-Match", &etag),
            _ => request,
        };
        assert_eq!(request.send().await.unwrap().status(), status, "{path}");
        assert_eq!(
            sandbox.put("workspace/g", "2").await.status(),
            200,
            "after {path}"
        );
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn names_round_trip() {
    let sandbox = sandbox().await;
    for (encoded, name) in [
        ("with%20space", "with space"),
        ("100%25", "100%"),
        ("%2525", "%25"),
        ("%C3%A9%E6%97%A5%F0%9F%A6%80", "é日🦀"),
        ("new%0Aline", "new\nline"),
        ("a%2Bb+c%26d%3D%3F%23", "a+b+c&d=?#"),
        ("quote'%22%60%24", "quote'\"`$"),
        ("-rf", "-rf"),
        ("%5Cback", "\\back"),
    ] {
        assert_eq!(
            sandbox
                .put(&format!("workspace/n/{encoded}"), encoded)
                .await
                .status(),
            200,
            "{encoded}"
        );
        assert_eq!(
            sandbox
                .get(&format!("workspace/n/{encoded}"))
                .await
                .text()
                .await
                .unwrap(),
            encoded
        );
        let cat = sandbox
            .exec(&json!({ "argv": ["cat", format!("/workspace/n/{name}")] }))
            .await;
        assert_eq!(cat.text(), encoded, "{name:?} is its name on disk");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_encoded_slash_separates_and_a_slash_at_the_end_names_a_directory() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.put("workspace%2Fdir%2Fa%20b", "x").await.status(), 200);
    for path in ["workspace/dir/a%20b", "workspace%2Fdir%2fa%20b"] {
        assert_eq!(sandbox.get(path).await.text().await.unwrap(), "x", "{path}");
    }
    for path in [
        "workspace/dir/a%20b/",
        "workspace/dir/a%20b%2F",
        "workspace/none/",
    ] {
        assert_error(sandbox.get(path).await, 404, "workspace_read_not_found").await;
        let head = sandbox.request(Method::HEAD, &format!("/file/{path}"));
        assert_eq!(head.send().await.unwrap().status(), 404, "{path}");
    }
    for path in ["workspace/dir", "workspace/dir/"] {
        assert_error(sandbox.get(path).await, 400, "is_directory").await;
    }
    let outside = sandbox.get("workspace%2F..%2Fetc%2Fpasswd").await;
    assert_error(outside, 403, "invalid_request").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_empty_file_and_an_overwritten_one() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.put("workspace/f", "").await.status(), 200);
    let empty = sandbox.get("workspace/f").await;
    assert_eq!(
        (empty.status().as_u16(), empty.bytes().await.unwrap().len()),
        (200, 0)
    );
    sandbox.sh("chmod 751 f").await;
    assert_eq!(sandbox.put("workspace/f", "longer").await.status(), 200);
    assert_eq!(sandbox.put("workspace/f", "new").await.status(), 200);
    assert_eq!(
        sandbox.sh("cat f; stat -c %a f").await.text(),
        "new751\n",
        "its mode is kept"
    );
    let before = sandbox.sh("stat -c %i f").await.text();
    let in_place = sandbox.put("workspace/f?in_place=true", "in place").await;
    assert_eq!(in_place.status(), 200);
    assert_eq!(
        sandbox.sh("stat -c %i f").await.text(),
        before,
        "its inode is kept"
    );
    assert_eq!(sandbox.sh("cat f").await.text(), "in place");
    assert_eq!(sandbox.put("workspace/f?in_place=1", "x").await.status(), 400);
    assert_eq!(sandbox.sh("ls -A").await.text(), "f\n", "nothing else is left");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_large_file_streams_both_ways() {
    let sandbox = sandbox().await;
    let chunk: Vec<u8> = (0..1 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut hash = Sha256::new();
    (0..96).for_each(|_| hash.update(&chunk));
    let expected: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    // Without an announced length: chunked.
    let body = reqwest::Body::wrap_stream(stream::iter(
        (0..96).map(move |_| Ok::<_, std::io::Error>(chunk.clone())),
    ));
    assert_eq!(sandbox.put("workspace/large", body).await.status(), 200);
    assert_eq!(
        sandbox.sh("sha256sum large | cut -c 1-64").await.text().trim(),
        expected
    );
    let read = sandbox.get("workspace/large").await;
    assert_eq!(read.headers()["content-length"], (96 << 20).to_string());
    let got = sha256(&read.bytes().await.unwrap());
    assert_eq!(got, expected);
    sandbox.destroy().await;
}

#[tokio::test]
async fn ranges_and_validators() {
    let sandbox = sandbox().await;
    sandbox.put("workspace/r", "0123456789").await;
    let get = |name: &'static str, value: String| {
        sandbox
            .request(Method::GET, "/file/workspace/r")
            .header(name, value)
            .send()
    };
    for (range, bytes, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=5-99", "56789", "bytes 5-9/10"),
    ] {
        let response = get("range", range.to_owned()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-range"]),
            (206, &content_range.parse().unwrap())
        );
        assert_eq!(response.headers()["content-length"], bytes.len().to_string());
        assert_eq!(response.text().await.unwrap(), bytes);
    }
    let beyond = get("range", "bytes=10-".to_owned()).await.unwrap();
    assert_eq!(beyond.headers()["content-range"], "bytes */10");
    assert_error(beyond, 416, "range_not_satisfiable").await;
    let etag = sandbox.get("workspace/r").await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let same = get("if-none-match", etag.clone()).await.unwrap();
    assert_eq!(
        (same.status().as_u16(), same.bytes().await.unwrap().len()),
        (304, 0)
    );
    sandbox.put("workspace/r", "9876543210").await;
    let changed = get("if-none-match", etag.clone()).await.unwrap();
    assert_eq!(
        (changed.status().as_u16(), changed.text().await.unwrap()),
        (200, "9876543210".to_owned())
    );
    let request = sandbox
        .request(Method::GET, "/file/workspace/r")
        .header("range", "bytes=0-1")
        .header("if-range", etag);
    assert_eq!(
        request.send().await.unwrap().status(),
        200,
        "a range of an older version is the whole file"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn links_inside_the_workspace_are_followed() {
    let sandbox = sandbox().await;
    sandbox.sh("mkdir d; echo one > d/f; ln -s d/f rel; ln -s /workspace/d/f abs; ln -s /workspace/d dir; ln -s d/new dangling").await;
    for path in ["rel", "abs", "dir/f"] {
        assert_eq!(
            sandbox
                .get(&format!("workspace/{path}"))
                .await
                .text()
                .await
                .unwrap(),
            "one\n",
            "{path}"
        );
    }
    for path in ["rel", "abs", "dangling"] {
        assert_eq!(
            sandbox.put(&format!("workspace/{path}"), path).await.status(),
            200,
            "{path}"
        );
    }
    let seen = sandbox
        .sh("cat d/f d/new; test -L rel && test -L abs && test -L dangling && echo links")
        .await;
    assert_eq!(
        seen.text(),
        "absdanglinglinks\n",
        "a write goes through a link, which stays"
    );
    sandbox.destroy().await;
}
