//! Buckets whose credentials stay out of the sandbox. The S3 server checks the signatures.

use reqwest::Method;
use sandbar_test_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use sandbar_tests::client::assert_error;
use serde_json::json;

use crate::binding::{answer, assert_refused, s3, token};
use crate::bucket::{BUCKET, Setting, assert_ok};

#[tokio::test]
async fn commands_work_in_a_mounted_bucket_without_its_credentials() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    setting.server.put(BUCKET, "of/7/another.txt", "from elsewhere");
    setting.server.put(BUCKET, "of/8/hidden", "hidden");
    let more = json!({ "credentialProxy": true, "prefix": "of/7" });
    setting.mounted("/mnt/data", more.clone()).await;
    let script = "cd /mnt/data; cat another.txt; echo; echo one >a; echo more >>a; mkdir d; echo two >'d/b & é'; mv a c; chmod 600 c; \
        cp c d/e; rm c; cat d/*; ls . d; head -c 30000000 /dev/urandom >/tmp/large; cp /tmp/large .; md5sum </tmp/large >/tmp/sum";
    assert_eq!(
        setting.sh(script).await,
        "from elsewhere\ntwo\none\nmore\n.:\nanother.txt\nd\n\nd:\nb & é\ne"
    );
    assert_eq!(setting.server.get(BUCKET, "of/7/d/b & é").unwrap(), "two\n");
    assert_eq!(
        setting.server.get(BUCKET, "of/7/large").unwrap().len(),
        30_000_000
    );
    assert_ok(setting.unmount("/mnt/data").await).await;
    setting.mounted("/mnt/data", more).await;
    assert_eq!(
        setting
            .sh("md5sum </mnt/data/large | cmp - /tmp/sum && ls /mnt/data")
            .await,
        "another.txt\nd\nlarge"
    );
    for i in 0..1050 {
        setting.server.put(BUCKET, &format!("of/7/many/{i}"), "x");
    }
    assert_eq!(setting.sh("ls /mnt/data/many | wc -l").await, "1050");

    // Everything that a command can read of processes and of files. The command line of this very
    // script has both, in halves.
    let script = format!(
        "a={}; b={}; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' >/workspace/seen; \
         grep -r -a . /run /tmp /var/tmp /home 2>/dev/null >>/workspace/seen; env >>/workspace/seen; \
         grep -a -c -e ${{a}}{} -e ${{b}}{} /workspace/seen; grep -a -c -e url=http /workspace/seen | sed 's/[1-9].*/some/'",
        &ACCESS_KEY_ID[..4],
        &SECRET_ACCESS_KEY[..4],
        &ACCESS_KEY_ID[4..],
        &SECRET_ACCESS_KEY[4..],
    );
    assert_eq!(setting.sh(&script).await, "0\nsome");
    let log = setting.sandbox.client.bridge.log.text();
    assert!(
        !log.contains(ACCESS_KEY_ID) && !log.contains(SECRET_ACCESS_KEY),
        "{log}"
    );
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_proxied_bucket_is_mounted_no_wider_than_it_was_asked_for() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    let sandbox = &setting.sandbox;
    if !sandbox.client.bridge.is_local {
        eprintln!("skipped: the token cannot be had from a container");
        return;
    }
    setting.server.put(BUCKET, "in/f", "0123456789");
    setting.server.put(BUCKET, "out/f", "outside");
    let more = json!({ "credentialProxy": true, "prefix": "in", "readOnly": true });
    let token_of_mount = token(sandbox, setting.mounted("/mnt/data", more)).await;
    let ask = |method: Method, at: &str| s3(sandbox, &token_of_mount, method, at);
    assert_eq!(
        answer(ask(Method::GET, "/f")).await,
        (200, "0123456789".to_owned())
    );
    assert_eq!(
        answer(ask(Method::GET, "/f").header("range", "bytes=3-5")).await,
        (206, "345".to_owned())
    );
    assert_refused(ask(Method::PUT, "/f").body("x"), 403, "AccessDenied").await;
    assert_refused(ask(Method::GET, "/..%2Fout%2Ff"), 403, "AccessDenied").await;
    assert_refused(ask(Method::GET, "/g"), 404, "NoSuchKey").await;
    for query in ["", "prefix=..%2Fout", "marker=../a"] {
        let (status, text) = answer(ask(Method::GET, &format!("?{query}"))).await;
        assert!(
            status == 200 && !text.contains("outside") && !text.contains("<Key>out"),
            "{query}: {text}"
        );
    }
    assert_ok(setting.unmount("/mnt/data").await).await;
    assert_refused(ask(Method::GET, "/f"), 403, "AccessDenied").await;

    let writable = json!({ "credentialProxy": true, "prefix": "in" });
    let token_of_mount = token(sandbox, setting.mounted("/mnt/data", writable)).await;
    let ask = |method: Method, at: &str| s3(sandbox, &token_of_mount, method, at);
    let copy = |source: &str| ask(Method::PUT, "/g").header("x-amz-copy-source", source);
    assert_refused(copy("/mounted-bucket/../out/f"), 403, "AccessDenied").await;
    assert_refused(copy(&format!("/{BUCKET}/out/f")), 403, "AccessDenied").await;
    assert_eq!(answer(copy("/mounted-bucket/f")).await.0, 200);
    assert_eq!(setting.server.get(BUCKET, "in/g").unwrap(), "0123456789");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_proxied_bucket_that_cannot_be_mounted_says_why_and_tells_no_key() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    let wrong = json!({ "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": "a-wrong-secret" });
    for (bucket, more, word) in [
        ("no-such-bucket", json!({}), "not found"),
        (BUCKET, json!({ "credentials": wrong }), "invalid credentials"),
        (
            BUCKET,
            json!({ "endpoint": "http://127.0.0.1:9", "s3fsOptions": ["retries=1"] }),
            "s3fs: ",
        ),
    ] {
        let mut options = setting.options(more);
        options["credentialProxy"] = true.into();
        let body = json!({ "bucket": bucket, "mountPath": "/mnt/new/data", "options": options });
        let text = assert_error(setting.sandbox.post("/mount", &body).await, 502, "mount_error").await;
        assert!(text.contains(word), "{text}");
        for secret in ["a-wrong-secret", SECRET_ACCESS_KEY, ACCESS_KEY_ID] {
            assert!(!text.contains(secret), "{text}");
        }
        setting.assert_nothing_is_left("/mnt/new").await;
    }
    setting.sandbox.destroy().await;
}
