//! The workspace as an archive, out and in.

use std::io::Read;

use futures_util::{StreamExt, stream};
use reqwest::{Body, Method, Response};
use sandbar_tests::Sandbox;
use serde_json::{Value, json};

use crate::sandbox;

async fn persist(sandbox: &Sandbox, query: &str) -> Vec<u8> {
    let response = sandbox
        .request(Method::POST, &format!("/persist{query}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert!(!response.headers().contains_key("content-encoding"));
    response.bytes().await.unwrap().to_vec()
}

pub async fn send(sandbox: &Sandbox, body: impl Into<Body>) -> Response {
    let request = sandbox.request(Method::POST, "/hydrate");
    request
        .header("content-type", "application/octet-stream")
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn hydrate(sandbox: &Sandbox, body: impl Into<Body>) {
    let response = send(sandbox, body).await;
    let status = response.status().as_u16();
    let answer = response.json::<Value>().await.unwrap();
    assert_eq!((status, answer), (200, json!({ "ok": true })));
}

/// An archive of files with these names and contents.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A body of no announced length.
pub fn chunked(bytes: Vec<u8>) -> Body {
    let chunks: Vec<_> = bytes
        .chunks(100_000)
        .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
        .collect();
    Body::wrap_stream(stream::iter(chunks))
}

#[tokio::test]
async fn a_workspace_moves_to_another_sandbox() {
    let one = sandbox().await;
    let script = "mkdir -p src/deep empty; echo hi > src/deep/f; ln src/deep/f hard; ln -s src/deep/f link
        ln -s /usr/bin/env out; mkfifo pipe; printf 'é' > 'name with é
and a line'; chmod 750 src/deep; head -c 300000 /dev/urandom > noise; touch -d @1234567890 src/deep/f; ln src/deep/f again";
    assert_eq!(one.sh(script).await.code(), 0);
    let describe =
        "find . ! -name pipe -exec stat -c '%n %F %a %N %Y %U' {} + | sort; cat noise src/deep/f | sha256sum";
    let expected = one.sh(describe).await.text();
    for query in ["", "?format=tar.gz", "?format=tar.zst"] {
        let other = sandbox().await;
        let archive = persist(&one, query).await;
        hydrate(&other, archive.clone()).await;
        // It can be repeated, and its length need not be known.
        hydrate(&other, chunked(archive)).await;
        assert_eq!(other.sh(describe).await.text(), expected, "{query}");
        let own = other
            .sh("stat -c %h hard again; test -e pipe || echo no pipe; echo new > src/deep/g && echo writable")
            .await;
        assert_eq!(own.text(), "1\n1\nno pipe\nwritable\n");
        other.destroy().await;
    }
    let get = one.request(Method::GET, "/persist").send().await.unwrap();
    assert_eq!(get.status(), 200);
    one.destroy().await;
}

#[tokio::test]
async fn excludes_are_left_out() {
    let sandbox = sandbox().await;
    sandbox
        .sh("mkdir -p a/b 'c d'; touch a/b/f a/g 'c d/h' x.log a/y.log")
        .await;
    let archive = persist(&sandbox, "?excludes=a%2Fb,c+d,*.log").await;
    let mut archive = tar::Archive::new(archive.as_slice());
    let names = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        String::from_utf8(entry.path_bytes().into_owned()).unwrap()
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["./", "./a/", "./a/g"]);
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_archive_over_files_replaces_them_and_keeps_the_rest() {
    let sandbox = sandbox().await;
    sandbox
        .sh("mkdir d; echo old > d/f; echo kept > d/kept; ln -s /tmp escape")
        .await;
    hydrate(
        &sandbox,
        archive(&[("./d/f", b"new\n"), ("escape/f", b"inside\n")]),
    )
    .await;
    let seen = sandbox
        .sh("cat d/f d/kept escape/f; test -e /tmp/f || echo nothing outside; ls -A; ls -A / | grep sandbar")
        .await;
    assert_eq!(seen.text(), "new\nkept\ninside\nnothing outside\nd\nescape\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn large_archives_stream_both_ways() {
    let sandbox = sandbox().await;
    sandbox
        .sh("head -c 100000000 /dev/urandom > large; sha256sum large > sum; truncate -s 300M sparse")
        .await;
    let response = sandbox.request(Method::POST, "/persist").send().await.unwrap();
    let mut kept = Vec::new();
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        kept.extend_from_slice(&chunk.unwrap());
    }
    assert!(kept.len() > 390 << 20 && kept.ends_with(&[0; 1024]));
    let other = crate::sandbox().await;
    hydrate(&other, chunked(kept)).await;
    let seen = other
        .sh("sha256sum -c sum; stat -c %s sparse; test $(stat -c %b sparse) -lt 10000 && echo still sparse")
        .await;
    assert_eq!(seen.text(), "large: OK\n314572800\nstill sparse\n");
    sandbox.destroy().await;
    other.destroy().await;
}

#[tokio::test]
async fn what_is_in_gzip_reads_back() {
    let sandbox = sandbox().await;
    sandbox.sh("yes | head -c 5000000 > text").await;
    let packed = persist(&sandbox, "?format=tar.gz").await;
    assert!(packed.len() < 500_000);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    assert!(plain == persist(&sandbox, "").await);
    sandbox.destroy().await;
}
