//! The token of a mount opens that mount, and nothing else.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use serde_json::json;

use crate::binding::{BINDING, answer, assert_refused, mounted, s3, setting, token};
use crate::bucket::{Setting, assert_ok};
use crate::{bridge, client, eventually};

/// A sandbox whose tokens can be read.
async fn local() -> Option<Setting> {
    let setting = setting().await?;
    if setting.sandbox.client.bridge.is_local {
        return Some(setting);
    }
    eprintln!("skipped: the token cannot be had from a container");
    None
}

#[tokio::test]
async fn a_mounted_prefix_cannot_be_left() {
    let Some(setting) = local().await else { return };
    let sandbox = &setting.sandbox;
    let outer = token(sandbox, mounted(&setting, "/mnt/all", json!({}))).await;
    for (name, text) in [("left/in", "in"), ("left-out", "out"), ("other/out", "out")] {
        let put = s3(sandbox, &outer, Method::PUT, &format!("/{name}")).body(text);
        assert_eq!(answer(put).await.0, 200);
    }
    let inner = token(
        sandbox,
        mounted(&setting, "/mnt/in", json!({ "prefix": "/left/" })),
    )
    .await;
    let ask = |method: Method, at: &str| s3(sandbox, &inner, method, at);
    assert_eq!(answer(ask(Method::GET, "/in")).await, (200, "in".to_owned()));
    for at in ["/..%2Fother%2Fout", "/x/..%2F..%2Fleft-out", "/%2E%2E%2Fleft-out"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            assert_refused(ask(method, at).header("content-length", 0), 403, "AccessDenied").await;
        }
    }
    for source in [
        "/mounted-bucket/../other/out",
        "/mounted-bucket/%2e%2e/other/out",
        "/bucket/other/out",
    ] {
        let copy = ask(Method::PUT, "/stolen").header("x-amz-copy-source", source);
        assert_refused(copy, 403, "AccessDenied").await;
    }
    // A name inside the bucket is looked up inside it.
    let copy = ask(Method::PUT, "/stolen").header("x-amz-copy-source", "/mounted-bucket/other/out");
    assert_refused(copy, 404, "NoSuchKey").await;
    assert_refused(ask(Method::GET, "/other/out"), 404, "NoSuchKey").await;
    for query in [
        "prefix=",
        "prefix=../",
        "prefix=other/",
        "list-type=2&start-after=..%2F",
        "list-type=2&continuation-token=../",
    ] {
        let (status, text) = answer(ask(Method::GET, &format!("?{query}"))).await;
        assert!(status == 200 && !text.contains("out"), "{query}: {text}");
    }
    assert_eq!(setting.sh("ls /mnt/in; ls /mnt/in/..").await, "in\nall\nin");
    for at in [
        "?uploads",
        "?acl",
        "/in?acl",
        "/in?tagging",
        "?versions",
        "/in?versionId=1",
    ] {
        assert_refused(ask(Method::GET, at), 501, "NotImplemented").await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_read_only_mounted_bucket_is_kept_so_by_the_worker() {
    let Some(setting) = local().await else { return };
    let sandbox = &setting.sandbox;
    let writable = token(sandbox, mounted(&setting, "/mnt/w", json!({ "prefix": "ro" }))).await;
    let put = s3(sandbox, &writable, Method::PUT, "/f").body("0123456789");
    assert_eq!(answer(put).await.0, 200);
    let options = json!({ "prefix": "ro", "readOnly": true });
    let read_only = token(sandbox, mounted(&setting, "/mnt/r", options)).await;
    let ask = |method: Method, at: &str| s3(sandbox, &read_only, method, at);
    for request in [
        ask(Method::PUT, "/f").body("x"),
        ask(Method::PUT, "/g").header("x-amz-copy-source", "/mounted-bucket/f"),
        ask(Method::DELETE, "/f"),
        ask(Method::POST, "/g?uploads"),
        ask(Method::PUT, "/g?partNumber=1&uploadId=u").body("x"),
        ask(Method::POST, "/g?uploadId=u").body("x"),
        ask(Method::DELETE, "/g?uploadId=u"),
    ] {
        assert_refused(request, 403, "AccessDenied").await;
    }
    // The headers of a read.
    let head = ask(Method::HEAD, "/f").send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"10".parse().unwrap())
    );
    let etag = head.headers()["etag"].clone();
    assert!(head.headers().contains_key("last-modified"));
    for (range, part, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=5-99", "56789", "bytes 5-9/10"),
    ] {
        let response = ask(Method::GET, "/f")
            .header("range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 206, "{range}");
        assert_eq!(response.headers()["content-range"], content_range);
        assert_eq!(response.text().await.unwrap(), part, "{range}");
    }
    let beyond = ask(Method::GET, "/f").header("range", "bytes=10-");
    assert_refused(beyond, 416, "InvalidRange").await;
    let same = ask(Method::GET, "/f").header("if-none-match", etag);
    assert_eq!(answer(same).await, (304, String::new()));
    let other = ask(Method::GET, "/f").header("if-match", "\"another\"");
    assert_refused(other, 412, "PreconditionFailed").await;
    let missing = ask(Method::HEAD, "/g").send().await.unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(
        setting
            .sh("cat /mnt/r/f; rm -f /mnt/r/f 2>&1 | grep -c Read-only")
            .await,
        "01234567891"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_token_ends_with_its_mounted_bucket_and_is_good_nowhere_else() {
    let Some(setting) = local().await else { return };
    let sandbox = &setting.sandbox;
    let other = sandbox.client.create().await;
    let first = token(sandbox, mounted(&setting, "/mnt/a", json!({ "prefix": "end" }))).await;
    let second = token(sandbox, mounted(&setting, "/mnt/b", json!({ "prefix": "end" }))).await;
    assert_ne!(first, second);
    let put = |token: &str| s3(sandbox, token, Method::PUT, "/f").body("x");
    assert_eq!(
        (answer(put(&first)).await.0, answer(put(&second)).await.0),
        (200, 200)
    );
    assert_refused(s3(&other, &first, Method::GET, "/f"), 403, "AccessDenied").await;
    let mut wrong = first.clone();
    wrong.replace_range(..1, if first.starts_with('a') { "b" } else { "a" });
    assert_refused(put(&wrong), 403, "AccessDenied").await;
    assert!(!other.running().await, "asking starts nothing");

    // A mount that fails leaves no token, and revokes none.
    let again = json!({ "binding": BINDING, "mountPath": "/mnt/a" });
    let text = assert_error(sandbox.post("/mount", &again).await, 502, "mount_error").await;
    assert!(text.contains("mounted at /mnt/a already"), "{text}");
    assert_eq!(answer(put(&first)).await.0, 200);

    assert_ok(setting.unmount("/mnt/a").await).await;
    assert_refused(put(&first), 403, "AccessDenied").await;
    assert_eq!(answer(put(&second)).await.0, 200);
    sandbox.destroy().await;
    assert_refused(put(&second), 403, "AccessDenied").await;
    // Nor is it valid for a later sandbox.
    sandbox.sh("true").await;
    assert_refused(put(&second), 403, "AccessDenied").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn without_a_token_of_the_sandbox_no_object_is_called_and_the_log_says_so() {
    if !bridge().is_local {
        return;
    }
    let unknown = "a".repeat(84);
    for n in 0..8 {
        let sandbox = client().sandbox(&format!("notoken{}", "a".repeat(n)));
        let url = format!("{}/v1/sandbox/{}/s3/mounted-bucket/f", bridge().url, sandbox.id);
        for request in [
            client().http.get(&url),
            client().http.put(&url).body("x"),
            client().request(Method::GET, &format!("/v1/sandbox/{}/s3", sandbox.id)),
            s3(&sandbox, "short", Method::GET, "/f"),
            s3(&sandbox, &unknown, Method::GET, "/f"),
        ] {
            let (status, text) = answer(request).await;
            // The Worker's message: an object has another.
            let is_of_worker = text.contains("no token of this sandbox is shown");
            assert!(status == 403 && is_of_worker, "{status} {text}");
        }
        eventually("each request is logged", || async {
            bridge()
                .log
                .count(&["\"request\"", &format!("\"{}\"", sandbox.id), "403"])
                == 5
        })
        .await;
    }
}
