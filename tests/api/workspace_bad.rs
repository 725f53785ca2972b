//! Archives that must be refused, and archives that break off.

use std::io::Write;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Body, Method};
use sandbar_tests::client::assert_error;
use sandbar_tests::raw;

use crate::workspace::{archive, chunked, send};
use crate::{bridge, client, eventually, sandbox};

#[tokio::test]
async fn bad_requests_are_refused_before_a_sandbox_is_woken() {
    let sandbox = sandbox().await;
    for query in [
        "excludes=../etc",
        "excludes=a,b%2F..%2Fc",
        "format=zip",
        "excludes=%FF",
    ] {
        let request = sandbox.request(Method::POST, &format!("/persist?{query}"));
        assert_error(request.send().await.unwrap(), 400, "invalid_request").await;
    }
    let text = assert_error(send(&sandbox, "").await, 400, "invalid_request").await;
    assert_eq!(text, "Empty tar payload");
    assert!(!sandbox.running().await);
    let text = assert_error(send(&sandbox, chunked(Vec::new())).await, 400, "invalid_request").await;
    assert_eq!(text, "Empty tar payload");
    for (method, path) in [(Method::PUT, "/persist"), (Method::GET, "/hydrate")] {
        let request = sandbox.request(method, path);
        assert_error(request.send().await.unwrap(), 405, "method_not_allowed").await;
    }
    let keyless = client()
        .http
        .post(format!("{}/v1/sandbox/{}/persist", bridge().url, sandbox.id));
    assert_error(keyless.send().await.unwrap(), 401, "unauthorized").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn what_leads_out_is_refused_by_name() {
    let sandbox = sandbox().await;
    sandbox.sh("echo old > f").await;
    for name in ["/tmp/absolute", "../up", "a/../../up"] {
        let text = assert_error(
            send(&sandbox, archive(&[("f", b"new"), (name, b"x")])).await,
            400,
            "invalid_request",
        )
        .await;
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    let mut through = tar::Builder::new(Vec::new());
    through.append_link(&mut header, "out", "/tmp").unwrap();
    let mut file = tar::Header::new_gnu();
    file.set_size(1);
    file.set_cksum();
    through.append_data(&mut file, "out/through", &b"x"[..]).unwrap();
    let text = assert_error(
        send(&sandbox, through.into_inner().unwrap()).await,
        400,
        "invalid_request",
    )
    .await;
    assert!(text.starts_with("out/through: "), "{text}");
    let mut hard = tar::Builder::new(Vec::new());
    header.set_entry_type(tar::EntryType::Link);
    hard.append_link(&mut header, "hard", "/etc/passwd").unwrap();
    let text = assert_error(
        send(&sandbox, hard.into_inner().unwrap()).await,
        400,
        "invalid_request",
    )
    .await;
    assert!(text.starts_with("hard: "), "{text}");
    let seen = sandbox
        .sh("cat f; ls -A . /tmp | grep -e absolute -e up -e through -e out -e hard; ls -A")
        .await;
    assert_eq!(seen.text(), "old\nf\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_truncated_archive_changes_nothing() {
    let sandbox = sandbox().await;
    sandbox.sh("echo old > f; touch -d @1000000000 f .").await;
    let plain = archive(&[("f", b"new"), ("large", &[b'x'; 300_000]), ("last", b"last")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let whole_tar = plain.len() - 1024;
    for cut in [
        &plain[..100],
        &plain[..150_000],
        &plain[..whole_tar],
        &gzip[..gzip.len() / 2],
        &gzip[..gzip.len() - 1],
    ] {
        for body in [Body::from(cut.to_vec()), chunked(cut.to_vec())] {
            assert_error(send(&sandbox, body).await, 400, "invalid_request").await;
        }
    }
    let text = assert_error(send(&sandbox, "this is no tar").await, 400, "invalid_request").await;
    assert!(text.contains("not a tar archive"), "{text}");
    assert_eq!(
        sandbox.sh("cat f; ls -A; stat -c %Y f .").await.text(),
        "old\nf\n1000000000\n1000000000\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let sandbox = sandbox().await;
    sandbox.sh("echo old > f").await;
    // The whole archive, and then no end of the body.
    let whole = archive(&[("f", b"new"), ("large", &[b'x'; 300_000])]);
    let length = format!("Content-Length: {}", whole.len() + 1);
    for framing in [length.as_str(), "Transfer-Encoding: chunked"] {
        let head = format!("POST /v1/sandbox/{}/hydrate\n{framing}", sandbox.id);
        let mut body = whole.clone();
        if framing.ends_with("chunked") {
            body = [
                format!("{:x}\r\n", whole.len()).into_bytes(),
                body,
                b"\r\n".to_vec(),
            ]
            .concat();
        }
        let upload = raw::connect(bridge(), &head, &body).await;
        // Nobody in the sandbox sees a half unpacked tree.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(
            sandbox
                .sh("ls -A; find / -xdev -name large 2>/dev/null")
                .await
                .text()
                .lines()
                .next(),
            Some("f")
        );
        drop(upload);
        eventually("nothing of it is left", || async {
            sandbox
                .sh("find / -name '.sandbar-*' 2>/dev/null; ls -A; cat f")
                .await
                .text()
                == "f\nold\n"
        })
        .await;
    }
    sandbox.destroy().await;
}

/// The sandbox ends in the middle: a client must not take its part for the whole.
#[tokio::test]
async fn a_persist_that_breaks_off_does_not_end_like_a_whole_one() {
    let sandbox = sandbox().await;
    sandbox.sh("truncate -s 4G zeros").await;
    let response = sandbox.request(Method::POST, "/persist").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.bytes_stream();
    body.next().await.unwrap().unwrap();
    let destroyed = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { sandbox.destroy().await }
    });
    let mut ended = Ok(());
    while let Some(chunk) = body.next().await {
        if let Err(e) = chunk {
            ended = Err(e);
            break;
        }
    }
    assert!(ended.is_err(), "the body ended properly");
    destroyed.await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_holds_nothing() {
    let sandbox = sandbox().await;
    sandbox.sh("truncate -s 100G zeros").await;
    for _ in 0..3 {
        let response = sandbox.request(Method::POST, "/persist").send().await.unwrap();
        let mut body = response.bytes_stream();
        body.next().await.unwrap().unwrap();
    }
    let threads = "cat /proc/1/task/*/comm | grep -c persist";
    eventually("the threads that read have ended", || async {
        sandbox.sh(threads).await.text() == "0\n"
    })
    .await;
    sandbox.destroy().await;
}
