//! Checkouts over ssh, from a real sshd. Where there is none, the tests report that they are left out.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sandbar_tests::bridge::free_port;
use sandbar_tests::client::assert_error;
use sandbar_tests::machine::address_for;
use serde_json::json;

use crate::eventually;
use crate::git::Setting;

/// An sshd with a key of its own and one that it lets in.
struct Sshd {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    /// `None`, with a message, where there is no sshd, or where it may not run.
    fn start(directory: &Path) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let sshd = std::env::split_paths(&path)
            .chain(["/usr/sbin".into()])
            .map(|directory| directory.join("sshd"))
            .find(|program| program.is_file());
        let Some(sshd) = sshd.filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: there is no sshd here, or the tests do not run as root");
            return None;
        };
        // Where it separates its privileges.
        std::fs::create_dir_all("/run/sshd").expect("a directory");
        for key in ["host", "client"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(directory.join(key))
                .status();
            assert!(made.expect("ssh-keygen").success());
        }
        let port = free_port();
        let at = directory.display();
        let config = format!(
            "Port {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/client.pub\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nSetEnv PATH={}\n",
            path.to_string_lossy()
        );
        std::fs::write(directory.join("config"), config).expect("a file");
        let child = Command::new(sshd)
            .args(["-D", "-e", "-f"])
            .arg(directory.join("config"))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd");
        Some(Self {
            child,
            port,
            directory: directory.to_owned(),
        })
    }
}

#[tokio::test]
async fn a_repository_is_cloned_over_ssh_with_a_key_of_the_sandbox() {
    let setting = Setting::new().await;
    let commits = setting.server.add("project");
    let Some(sshd) = Sshd::start(&setting.server.root) else {
        setting.sandbox.destroy().await;
        return;
    };
    let at = address_for(&setting.sandbox).await;
    let root = setting.server.root.display();
    let url = |name: &str| format!("ssh://root@{at}:{}{root}/{name}.git", sshd.port);
    eventually("sshd listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", sshd.port))
            .await
            .is_ok()
    })
    .await;
    let post = async |name: &str| {
        let body = json!({ "repoUrl": url(name), "targetDir": "project" });
        setting.sandbox.post("/git/checkout", &body).await
    };
    // The key of the host is accepted; without a key of its own, nobody is let in.
    assert_error(post("project").await, 502, "git_auth_failed").await;
    // On the local runtime, ssh takes the home of this machine's user for its own.
    let key = std::fs::read_to_string(sshd.directory.join("client")).unwrap();
    let script = format!(
        "mkdir -p -m 700 ~/.ssh && printf '%s' '{key}' >~/.ssh/key && chmod 600 ~/.ssh/key && git config --global core.sshCommand \
         \"ssh -i ~/.ssh/key -o UserKnownHostsFile=$HOME/.ssh/known -o BatchMode=yes -o StrictHostKeyChecking=accept-new\""
    );
    assert_eq!(setting.sh(&script).await, "");
    assert_error(post("nothing").await, 502, "git_repository_not_found").await;
    let response = post("project").await;
    assert_eq!(response.status(), 200);
    let checkout: serde_json::Value = response.json().await.unwrap();
    let found = (&checkout["commit"], &checkout["repoUrl"]);
    assert_eq!(found, (&json!(commits.main), &json!(url("project"))));
    assert_eq!(setting.sh("cat project/file.txt").await, "three");
    // A host whose key has changed is not accepted.
    let other = "ssh-keygen -q -t ed25519 -N '' -f /tmp/other && \
         sed -i \"s,ssh-.*,$(cut -d ' ' -f 1,2 /tmp/other.pub),\" ~/.ssh/known";
    assert_eq!(setting.sh(other).await, "");
    let message = assert_error(post("project").await, 502, "git_error").await;
    assert!(message.contains("Host key verification failed"), "{message}");
    setting.sandbox.destroy().await;
}
