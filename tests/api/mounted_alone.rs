//! A `sandboxd` without a bridge, as it is in a container: root, its commands another user. In a
//! mount namespace of its own, so that nothing of it reaches the machine.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandbar_test_s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use sandbar_tests::build;
use sandbar_tests::sse::Events;
use serde_json::{Value, json};

use crate::eventually;

/// A `sandboxd`; killed when dropped, and with it everything in its process namespace.
struct Sandboxd {
    process: Child,
    url: String,
    workspace: PathBuf,
    /// Where the bucket is mounted; a directory of the machine as long as it is.
    mount_path: String,
    http: reqwest::Client,
}

impl Sandboxd {
    /// `None`, with a message, where nothing can be mounted.
    fn start(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !std::path::Path::new("/dev/fuse").exists() {
            eprintln!("skipped: buckets cannot be mounted here (no /dev/fuse, or not root)");
            return None;
        }
        let workspace = std::env::temp_dir().join(format!("sandbar-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&workspace).unwrap();
        let mut process = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .arg(build::sandboxd())
            .args(["--listen", "127.0.0.1:0", "--workspace"])
            .arg(&workspace)
            .env("SANDBOX_USER", "nobody")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let url = loop {
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it did not start: {line}");
            if let Some((_, address)) = line.rsplit_once("address=") {
                break format!("http://{}", address.trim());
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::stderr()));
        Some(Self {
            process,
            url,
            workspace,
            mount_path: format!("/mnt/sandbar-{name}-{}", std::process::id()),
            http: reqwest::Client::new(),
        })
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        request.send().await.unwrap()
    }

    async fn mount(&self, server: &S3Server) {
        let response = self
            .post(
                "/mount",
                &json!({ "bucket": "bucket", "mountPath": self.mount_path, "options": {
                    "endpoint": format!("http://127.0.0.1:{}", server.port),
                    "credentials": { "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY } } }),
            )
            .await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }

    async fn begin(&self, script: &str) -> Events {
        let response = self.post("/exec", &json!({ "argv": ["sh", "-c", script] })).await;
        Events::new(response.bytes_stream())
    }

    async fn sh(&self, script: &str) -> String {
        self.begin(script).await.finish().await.text()
    }
}

impl Drop for Sandboxd {
    fn drop(&mut self) {
        // `unshare` takes its child with it, which takes the whole process namespace with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.workspace);
    }
}

#[tokio::test]
async fn another_user_works_in_a_bucket_and_sees_no_secret() {
    let Some(sandboxd) = Sandboxd::start("user") else {
        return;
    };
    let server = S3Server::start(&["bucket"]);
    sandboxd.mount(&server).await;
    let script = "id -un; stat -c %U .; mkdir d && echo x >d/f && chmod 600 d/f && cat d/f; \
        for p in /proc/[0-9]*; do grep -q s3fs $p/comm && cat $p/environ $p/fd/* $p/mem; done 2>&1 | grep -c denied; \
        cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep passwd_file= | grep -v grep | sed s/passwd_file=// | xargs cat 2>&1 | grep -c key; \
        ls -d /run/sandboxd-mount* 2>/dev/null";
    // The last two: the file with the key is named and gone, and so is its directory.
    let text = sandboxd
        .sh(&format!("cd {}; {script}", sandboxd.mount_path))
        .await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["nobody", "nobody", "x"], "{text}");
    assert!(lines[3].parse::<u32>().unwrap() >= 2, "{text}");
    assert_eq!(lines[4..], ["1"], "{text}");
    assert_eq!(server.get("bucket", "d/f").unwrap(), "x\n");
    let unmount = json!({ "mountPath": sandboxd.mount_path });
    assert_eq!(sandboxd.post("/unmount", &unmount).await.status(), 200);
}

#[tokio::test]
async fn at_a_shutdown_what_commands_have_open_reaches_the_bucket() {
    let Some(mut sandboxd) = Sandboxd::start("shutdown") else {
        return;
    };
    let server = S3Server::start(&["bucket"]);
    sandboxd.mount(&server).await;
    let open = format!("{}/open", sandboxd.mount_path);
    let _events = sandboxd
        .begin(&format!("{{ echo written; exec sleep 600; }} >{open}"))
        .await;
    // s3fs sends a file when somebody closes it: until then it is in the sandbox alone.
    eventually("it is written", || async {
        sandboxd.sh(&format!("stat -c %s {open}")).await == "8\n"
    })
    .await;
    assert!(
        server
            .get("bucket", "open")
            .is_none_or(|content| content.is_empty())
    );
    let children = format!("/proc/{0}/task/{0}/children", sandboxd.process.id());
    let pid = std::fs::read_to_string(children).unwrap().trim().to_owned();
    let started = Instant::now();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let status = sandboxd.process.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "a generous bound: {:?}",
        started.elapsed()
    );
    assert_eq!(server.get("bucket", "open").unwrap(), "written\n");
    assert!(!std::path::Path::new(&sandboxd.mount_path).exists());
}
