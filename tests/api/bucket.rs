//! A bucket for the tests that mount one: a real S3 server, s3fs and FUSE. Where there is no FUSE,
//! they report that they are left out.

use sandbar_test_s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use sandbar_tests::Sandbox;
use sandbar_tests::machine::address_for;
use serde_json::{Value, json};

use crate::sandbox;

/// The bucket of each test's own server.
pub const BUCKET: &str = "bucket";

/// A sandbox and a bucket that it can reach.
pub struct Setting {
    pub sandbox: Sandbox,
    pub server: S3Server,
    /// The server as the sandbox sees it.
    pub endpoint: String,
}

impl Setting {
    /// In a new sandbox of the shared bridge. `None`, with a message, where nothing can be mounted.
    pub async fn new() -> Option<Self> {
        Self::new_in(sandbox().await).await
    }

    pub async fn new_in(sandbox: Sandbox) -> Option<Self> {
        if !can_mount(&sandbox).await {
            eprintln!("skipped: buckets cannot be mounted here (no /dev/fuse, no s3fs or not root)");
            return None;
        }
        let server = S3Server::start(&[BUCKET]);
        let endpoint = format!("http://{}:{}", address_for(&sandbox).await, server.port);
        Some(Self {
            sandbox,
            server,
            endpoint,
        })
    }

    /// The options of a mount, with more of them.
    pub fn options(&self, more: Value) -> Value {
        let mut options = json!({
            "endpoint": self.endpoint,
            "credentials": { "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY },
        });
        let all = options.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        options
    }

    pub async fn mount(&self, path: &str, more: Value) -> reqwest::Response {
        let body = json!({ "bucket": BUCKET, "mountPath": path, "options": self.options(more) });
        self.sandbox.post("/mount", &body).await
    }

    /// Mounts the bucket, which must work.
    pub async fn mounted(&self, path: &str, more: Value) {
        assert_ok(self.mount(path, more).await).await;
    }

    pub async fn unmount(&self, path: &str) -> reqwest::Response {
        self.sandbox.post("/unmount", &json!({ "mountPath": path })).await
    }

    /// The output of a shell script, of both streams, without the last line feed.
    pub async fn sh(&self, script: &str) -> String {
        let text = self.sandbox.sh(&format!("{{ {script}\n}} 2>&1")).await.text();
        text.trim_end().to_owned()
    }

    /// Asserts that nothing of a mount is left: no mount, no process, no file, and not `directory`.
    pub async fn assert_nothing_is_left(&self, directory: &str) {
        let script = format!(
            "grep fuse.s3fs /proc/mounts; ls -d /run/sandboxd-mount* {directory} 2>/dev/null; cat /proc/[0-9]*/comm | grep s3fs"
        );
        assert_eq!(self.sh(&script).await, "");
    }
}

/// Whether the sandboxes of a bridge can mount, as far as that does not depend on the bridge.
pub async fn can_mount(sandbox: &Sandbox) -> bool {
    let bridge = &sandbox.client.bridge;
    if bridge.is_local {
        let has_s3fs = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join("s3fs").is_file());
        return has_s3fs
            && rustix::process::geteuid().is_root()
            && std::path::Path::new("/dev/fuse").exists();
    }
    bridge.has_containers && sandbox.sh("test -c /dev/fuse").await.code() == 0
}

pub async fn assert_ok(response: reqwest::Response) {
    let (status, body) = (response.status(), response.text().await.unwrap());
    assert_eq!((status.as_u16(), body.as_str()), (200, r#"{"ok":true}"#));
}
