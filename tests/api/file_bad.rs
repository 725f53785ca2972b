//! File requests that must be refused, and uploads that break off.

use sandbar_tests::client::assert_error;
use sandbar_tests::raw;

use crate::{bridge, eventually, sandbox};

#[tokio::test]
async fn a_client_that_sends_all_of_its_body_before_it_reads_sees_why_it_is_refused() {
    let bridge = bridge();
    if !bridge.url.starts_with("http://") {
        return;
    }
    let sandbox = sandbox().await;
    sandbox.sh("echo x > f").await;
    let body = vec![b'x'; 4 << 20];
    let length = format!("Content-Length: {}", body.len());
    let chunked = [
        format!("{:x}\r\n", body.len()).as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    for (operation, error) in [
        ("PUT {}/file/workspace/f/below", "a parent is not a directory"),
        ("POST {}/hydrate", "tar"),
    ] {
        for (framing, body) in [(length.as_str(), &body), ("Transfer-Encoding: chunked", &chunked)] {
            let url = format!("/v1/sandbox/{}", sandbox.id);
            let head = format!("{}\n{framing}", operation.replace("{}", &url));
            // Fails when the connection is closed while the body is sent.
            let (status, answer) = raw::send(bridge, &head, body).await;
            assert_eq!(status, 400, "{head}: {answer}");
            assert!(answer.contains(error), "{head}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_no_file_is_refused() {
    let sandbox = sandbox().await;
    sandbox.sh("mkdir d; mkfifo pipe; echo x > f").await;
    assert_error(
        sandbox.get("workspace/missing").await,
        404,
        "workspace_read_not_found",
    )
    .await;
    assert_error(
        sandbox.get("workspace/missing/deeper").await,
        404,
        "workspace_read_not_found",
    )
    .await;
    assert_error(
        sandbox.get("workspace/f/below").await,
        404,
        "workspace_read_not_found",
    )
    .await;
    assert_error(sandbox.get("workspace/d").await, 400, "is_directory").await;
    assert_error(sandbox.get("workspace").await, 400, "is_directory").await;
    assert_error(sandbox.get("workspace/").await, 400, "is_directory").await;
    assert_error(sandbox.put("workspace/d", "x").await, 400, "is_directory").await;
    assert_error(sandbox.put("workspace", "x").await, 400, "is_directory").await;
    assert_error(sandbox.get("workspace/pipe").await, 400, "invalid_request").await;
    assert_error(sandbox.put("workspace/pipe", "x").await, 400, "invalid_request").await;
    assert_error(
        sandbox.put("workspace/f/below", "x").await,
        400,
        "invalid_request",
    )
    .await;
    assert_error(sandbox.get("").await, 400, "invalid_request").await;
    assert_error(
        sandbox.put(&format!("workspace/{}", "n".repeat(300)), "x").await,
        400,
        "invalid_request",
    )
    .await;
    assert_eq!(
        sandbox.sh("ls -A").await.text(),
        "d\nf\npipe\n",
        "nothing was made or lost"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn paths_out_of_the_workspace_are_403() {
    let sandbox = sandbox().await;
    for path in ["etc/passwd", "main.py", "workspacex/f", "tmp/f"] {
        let text = assert_error(sandbox.get(path).await, 403, "invalid_request").await;
        assert!(text.contains("within /workspace"), "{text}");
        assert_error(sandbox.put(path, "x").await, 403, "invalid_request").await;
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn traversal_reaches_nothing_plain_or_encoded() {
    let sandbox = sandbox().await;
    sandbox.boot_id().await;
    for path in [
        "workspace/../etc/passwd",
        "workspace/../../etc/passwd",
        "workspace/%2e%2e/etc/passwd",
        "workspace/%2E%2E/%2e%2e/etc/passwd",
        "workspace/a/../../etc/passwd",
        "../../../../etc/passwd",
        "workspace%2F..%2Fetc%2Fpasswd",
        "workspace/%2e%2e%2Fetc/passwd",
        "%2Fetc%2Fpasswd",
    ] {
        let (status, body) = raw::send(
            bridge(),
            &format!("GET /v1/sandbox/{}/file/{path}", sandbox.id),
            b"",
        )
        .await;
        assert!(matches!(status, 400 | 403 | 404), "{path}: {status} {body}");
        assert!(
            !body.contains("root:") && body.contains("\"code\""),
            "{path}: {body}"
        );
    }
    for (path, word) in [("workspace/a%00b", "NUL"), ("workspace/%zz", "escape")] {
        let (status, body) = raw::send(
            bridge(),
            &format!("GET /v1/sandbox/{}/file/{path}", sandbox.id),
            b"",
        )
        .await;
        assert_eq!(status, 400, "{path}: {body}");
        assert!(body.contains(word), "{path}: {body}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_link_out_is_403_on_read_and_on_write() {
    let sandbox = sandbox().await;
    sandbox.sh("ln -s /etc/passwd abs; ln -s ../etc/passwd rel; ln -s /etc dir; ln -s /tmp/new dangling; ln -s abs chain").await;
    for path in ["abs", "rel", "dir/passwd", "chain"] {
        let text = assert_error(
            sandbox.get(&format!("workspace/{path}")).await,
            403,
            "invalid_request",
        )
        .await;
        assert!(text.contains("within /workspace"), "{text}");
    }
    for path in ["abs", "rel", "dir/new", "dangling", "chain"] {
        assert_error(
            sandbox.put(&format!("workspace/{path}"), "x").await,
            403,
            "invalid_request",
        )
        .await;
    }
    assert_eq!(
        sandbox.sh("test -e /tmp/new || echo absent").await.text(),
        "absent\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_broken_upload_leaves_the_old_file() {
    let sandbox = sandbox().await;
    sandbox.put("workspace/f", "old").await;
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let head = format!("PUT /v1/sandbox/{}/file/workspace/f\n{framing}", sandbox.id);
        let mut body = vec![b'n'; 300_000];
        if framing.ends_with("chunked") {
            body = [b"493e0\r\n".to_vec(), body].concat();
        }
        let upload = raw::connect(bridge(), &head, &body).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        drop(upload);
        eventually("nothing of the upload is left", || async {
            sandbox.sh("ls -A").await.text() == "f\n"
        })
        .await;
        assert_eq!(
            sandbox.get("workspace/f").await.text().await.unwrap(),
            "old",
            "{framing}"
        );
    }
    sandbox.destroy().await;
}
