//! Requests to mount and unmount that are refused before a sandbox is woken. `mounted` tests mounts
//! that succeed.

use reqwest::Method;
use sandbar_tests::client::assert_error;
use serde_json::{Value, json};

use crate::bucket::can_mount;
use crate::sandbox;

#[tokio::test]
async fn every_bad_body_names_what_is_wrong_and_starts_nothing() {
    let sandbox = sandbox().await;
    let remote = |options: Value| json!({ "bucket": "b", "mountPath": "/mnt/data", "options": options });
    let endpoint = "https://s3.example.com";
    for (body, word) in [
        (json!([]), "Invalid JSON body"),
        (json!({}), "mountPath must be a non-empty string"),
        (
            json!({ "bucket": "", "mountPath": "/mnt/data" }),
            "bucket must be a non-empty string",
        ),
        (
            json!({ "bucket": "b", "mountPath": 5 }),
            "mountPath must be a non-empty string",
        ),
        (
            json!({ "bucket": "b", "mountPath": "mnt" }),
            "mountPath must be an absolute path (start with /)",
        ),
        (
            json!({ "bucket": "b", "mountPath": "/mnt/.." }),
            "mountPath must not resolve to /",
        ),
        (
            json!({ "bucket": "b", "mountPath": "/etc/x" }),
            "directory of the system",
        ),
        (
            json!({ "bucket": "b", "mountPath": "/workspace" }),
            "/workspace itself",
        ),
        (
            json!({ "mountPath": "/mnt/data" }),
            "bucket must be a non-empty string",
        ),
        (
            json!({ "bucket": "b", "mountPath": "/mnt/data" }),
            "options.endpoint is missing",
        ),
        (
            json!({ "mountPath": "/mnt/data", "options": { "endpoint": endpoint } }),
            "bucket must be a non-empty string for remote mounts",
        ),
        (
            json!({ "bucket": "b", "binding": "B", "mountPath": "/mnt/data", "options": { "endpoint": endpoint } }),
            "Provide either binding or options.endpoint, not both",
        ),
        (
            json!({ "bucket": "b", "mountPath": "/mnt/data", "options": "x" }),
            "options must be an object",
        ),
        (
            remote(json!({ "endpoint": 5 })),
            "options.endpoint must be a string when provided",
        ),
        (
            remote(json!({ "endpoint": "s3.example.com" })),
            "valid HTTP(S) URL",
        ),
        (
            remote(json!({ "endpoint": endpoint, "readOnly": "yes" })),
            "options.readOnly must be a boolean when provided",
        ),
        (
            remote(json!({ "endpoint": endpoint, "prefix": 5 })),
            "options.prefix must be a string when provided",
        ),
        (
            remote(json!({ "endpoint": endpoint, "prefix": "a/../b" })),
            "options.prefix",
        ),
        (
            remote(json!({ "endpoint": endpoint, "credentialProxy": 1 })),
            "options.credentialProxy must be a boolean",
        ),
        (
            remote(json!({ "endpoint": endpoint, "credentials": { "accessKeyId": "i" } })),
            "options.credentials must include string accessKeyId and secretAccessKey",
        ),
        (
            remote(json!({ "endpoint": endpoint, "s3fsOptions": "ro" })),
            "options.s3fsOptions must be an array of strings",
        ),
        (
            remote(json!({ "endpoint": endpoint, "s3fsOptions": ["passwd_file=/x"] })),
            "passwd_file",
        ),
        (
            remote(json!({ "endpoint": endpoint, "s3fsOptions": ["suid"] })),
            "suid",
        ),
    ] {
        let response = sandbox.post("/mount", &body).await;
        let text = assert_error(response, 400, "invalid_request").await;
        assert!(text.contains(word), "{body}: {text}");
    }
    for (body, word) in [
        (json!({}), "mountPath must be a non-empty string"),
        (json!({ "mountPath": "mnt" }), "absolute path"),
        (json!({ "mountPath": "/a/../.." }), "filesystem root"),
    ] {
        let response = sandbox.post("/unmount", &body).await;
        let text = assert_error(response, 400, "invalid_request").await;
        assert!(text.contains(word), "{body}: {text}");
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn a_mount_without_credentials_anywhere_says_where_they_are_looked_for() {
    let sandbox = sandbox().await;
    let body = json!({ "bucket": "b", "mountPath": "/mnt/data", "options": { "endpoint": "https://s3.example.com" } });
    let text = assert_error(sandbox.post("/mount", &body).await, 502, "mount_error").await;
    assert!(
        text.starts_with("mount failed: ") && text.contains("AWS_ACCESS_KEY_ID"),
        "{text}"
    );
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn a_binding_that_is_no_bucket_is_refused_and_starts_nothing() {
    let sandbox = sandbox().await;
    let proxied = |option: &str| {
        json!({ "bucket": "b", "mountPath": "/mnt/data", "options": { "endpoint": "https://s3.example.com",
            "credentialProxy": true, "s3fsOptions": [option],
            "credentials": { "accessKeyId": "i", "secretAccessKey": "hush" } } })
    };
    for (body, word) in [
        (
            json!({ "binding": "NO_SUCH_BUCKET", "mountPath": "/mnt/data" }),
            "binding must name an R2 bucket of the Worker (r2_buckets in wrangler.jsonc); there is none",
        ),
        (
            json!({ "binding": "Sandbox", "mountPath": "/mnt/data" }),
            "that one is something else: Sandbox",
        ),
        (
            json!({ "binding": "ASSETS", "mountPath": "/mnt/data" }),
            "that one is something else: ASSETS",
        ),
        (
            json!({ "binding": "SANDBOX_API_KEY", "mountPath": "/mnt/data" }),
            "that one is something else",
        ),
        (proxied("public_bucket=1"), "must not have \"public_bucket\""),
        (proxied("sigv2"), "must not have \"sigv2\""),
    ] {
        let text = assert_error(sandbox.post("/mount", &body).await, 400, "invalid_request").await;
        assert!(text.contains(word) && !text.contains("hush"), "{text}");
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn without_a_token_nothing_is_served_and_nothing_started() {
    let sandbox = sandbox().await;
    let url = format!(
        "{}/v1/sandbox/{}/s3/mounted-bucket/key",
        sandbox.client.bridge.url, sandbox.id
    );
    let http = &sandbox.client.http;
    let with_token =
        |id: &str| format!("AWS4-HMAC-SHA256 Credential={id}/20261121/auto/s3/aws4_request, Signature=0");
    let key = format!("Bearer {}", sandbox.client.bridge.key);
    for authorization in [String::new(), key, with_token("x"), with_token(&"a".repeat(52))] {
        for request in [http.get(&url), http.put(&url).body("x"), http.delete(&url)] {
            let response = request
                .header("authorization", &authorization)
                .send()
                .await
                .unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            if sandbox.client.bridge.is_local {
                assert_eq!(status, 403, "{text}");
                assert!(text.contains("<Code>AccessDenied</Code>"), "{text}");
            } else {
                // Containers do not take this path.
                assert_eq!(status, 404, "{text}");
            }
        }
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn a_container_whose_requests_do_not_reach_the_worker_says_so() {
    let sandbox = sandbox().await;
    if !sandbox.client.bridge.has_containers {
        eprintln!("skipped: no containers");
        return;
    }
    let body = json!({ "bucket": "b", "mountPath": "/mnt/new/data", "options": { "endpoint": "http://127.0.0.1:9",
        "credentialProxy": true, "credentials": { "accessKeyId": "i", "secretAccessKey": "hush" } } });
    let response = sandbox.post("/mount", &body).await;
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    // Where the platform forwards them, the bucket or FUSE fails.
    let reason = match status {
        501 => "S3 requests do not reach the Worker",
        _ => "mount failed",
    };
    assert!(matches!(status, 501 | 502), "{status} {text}");
    assert!(text.contains(reason) && !text.contains("hush"), "{text}");
    let left = sandbox
        .sh("ls -d /mnt/new /run/sandboxd-mount* 2>/dev/null")
        .await;
    assert_eq!(left.text(), "");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_other_methods_are_405() {
    let sandbox = sandbox().await;
    let body = json!({ "bucket": "b".repeat(70_000), "mountPath": "/mnt/data" });
    for path in ["/mount", "/unmount"] {
        assert_error(sandbox.post(path, &body).await, 413, "payload_too_large").await;
        let response = sandbox.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], "POST");
        assert_error(response, 405, "method_not_allowed").await;
        let response = sandbox
            .client
            .http
            .post(format!(
                "{}/v1/sandbox/{}{path}",
                sandbox.client.bridge.url, sandbox.id
            ))
            .json(&json!({}))
            .send()
            .await
            .unwrap();
        assert_error(response, 401, "unauthorized").await;
    }
}

#[tokio::test]
async fn nothing_to_unmount_is_502() {
    let sandbox = sandbox().await;
    let response = sandbox
        .post("/unmount", &json!({ "mountPath": "/mnt/data" }))
        .await;
    let text = assert_error(response, 502, "unmount_error").await;
    assert_eq!(text, "unmount failed: no bucket is mounted at /mnt/data");
    sandbox.destroy().await;
}

#[tokio::test]
async fn without_fuse_a_mount_says_so_and_leaves_nothing() {
    let sandbox = sandbox().await;
    let bridge = &sandbox.client.bridge;
    if can_mount(&sandbox).await || !(bridge.is_local || bridge.has_containers) {
        eprintln!("skipped: buckets can be mounted here, or nobody knows");
        sandbox.destroy().await;
        return;
    }
    let body = json!({ "bucket": "b", "mountPath": "/mnt/new/data", "options": { "endpoint": "http://127.0.0.1:9",
        "credentials": { "accessKeyId": "i", "secretAccessKey": "s" } } });
    let text = assert_error(sandbox.post("/mount", &body).await, 502, "mount_error").await;
    assert!(
        text.contains("fuse") || text.contains("s3fs is not installed"),
        "{text}"
    );
    assert_eq!(
        sandbox
            .sh("ls -d /mnt/new /run/sandboxd-mount* 2>/dev/null")
            .await
            .text(),
        ""
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn programs_of_commands_are_not_run_for_a_mount() {
    let sandbox = sandbox().await;
    let script = "mkdir -p ~/.local/bin && printf '#!/bin/sh\\nid -u > /tmp/ran\\n' > ~/.local/bin/s3fs && \
                  chmod 755 ~/.local/bin/s3fs";
    assert_eq!(sandbox.sh(script).await.code(), 0);
    let credentials = json!({ "accessKeyId": "id", "secretAccessKey": "key" });
    let options = json!({ "endpoint": "http://127.0.0.1:9", "credentials": credentials });
    let body = json!({ "bucket": "data", "mountPath": "/mnt/data", "options": options });
    // Nothing answers there.
    assert!(sandbox.post("/mount", &body).await.status().is_server_error());
    assert_eq!(sandbox.sh("cat /tmp/ran 2>/dev/null").await.text(), "");
    sandbox.destroy().await;
}
