//! Archives of one directory.

use reqwest::{Method, Response};
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;

use crate::sandbox;

async fn persist(sandbox: &Sandbox, query: &str) -> Response {
    let request = sandbox.request(Method::POST, &format!("/persist?{query}"));
    request.send().await.unwrap()
}

async fn hydrate(sandbox: &Sandbox, query: &str, archive: impl Into<reqwest::Body>) -> Response {
    let request = sandbox.request(Method::POST, &format!("/hydrate?{query}"));
    request.body(archive).send().await.unwrap()
}

#[tokio::test]
async fn a_directory_goes_out_and_in_alone() {
    let sandbox = sandbox().await;
    let script = "mkdir -p a/b/sub other; echo 1 > a/b/f; echo 2 > a/b/sub/g; echo 3 > other/f; \
                  ln -s /workspace/a/b/f a/b/abs; ln -s /workspace/other/f a/b/out; echo x > a/b/skipped";
    sandbox.sh(script).await;
    let response = persist(&sandbox, "path=a/b&excludes=skipped").await;
    assert_eq!(response.status(), 200);
    let archive = response.bytes().await.unwrap();
    let request = sandbox
        .request(Method::PUT, "/file/workspace/t.tar")
        .body(archive.clone());
    assert_eq!(request.send().await.unwrap().status(), 200);
    let names = sandbox.sh("tar -tf t.tar | LC_ALL=C sort; rm t.tar").await.text();
    assert_eq!(names, "./\n./abs\n./f\n./out\n./sub/\n./sub/g\n");
    // Into one that is missing, and over one that is there.
    for path in ["new/deep", "/workspace/other"] {
        assert_eq!(
            hydrate(&sandbox, &format!("path={path}"), archive.clone())
                .await
                .status(),
            200
        );
    }
    let seen = sandbox
        .sh("cat new/deep/f new/deep/sub/g other/f other/sub/g; readlink new/deep/abs new/deep/out; ls");
    let seen = seen.await.text();
    assert_eq!(seen, "1\n2\n1\n2\nf\n/workspace/other/f\na\nnew\nother\n");
    let owners = sandbox
        .sh("stat -c %U new new/deep new/deep/f | sort -u; id -un")
        .await
        .text();
    let owners: Vec<_> = owners.lines().collect();
    assert_eq!(owners.len(), 2, "{owners:?}");
    assert_eq!(owners[0], owners[1]);
    for (query, status, code) in [
        ("path=none", 404, "file_not_found"),
        ("path=a/b/f", 400, "invalid_request"),
        ("path=/etc", 403, "invalid_request"),
    ] {
        assert_error(persist(&sandbox, query).await, status, code).await;
    }
    sandbox.sh("ln -s /etc etc").await;
    assert_error(persist(&sandbox, "path=etc").await, 403, "invalid_request").await;
    for (query, status, code) in [
        ("path=a/b/f", 409, "file_exists"),
        ("path=etc/new", 403, "invalid_request"),
        ("path=/tmp/x", 403, "invalid_request"),
    ] {
        assert_error(hydrate(&sandbox, query, archive.clone()).await, status, code).await;
    }
    sandbox.destroy().await;
}
