//! A `sandbox-local` for one test, and helpers that inspect it from outside.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response};
use sandbar_tests::build;
use sandbox_protocol::local::{Boot, Start, Status};
use sandbox_protocol::sandboxd;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sandbox-local");

/// The command that runs `sandbox-local` on a state directory.
pub fn command(sandboxd: &Path, state_dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("--sandboxd")
        .arg(sandboxd)
        .arg("--state-dir")
        .arg(state_dir);
    command
}

/// A running `sandbox-local`; killed when dropped.
pub struct Local {
    pub process: Child,
    pub url: String,
    client: Client,
}

impl Local {
    pub fn start(state_dir: &Path) -> Self {
        Self::spawn(command(&build::sandboxd(), state_dir))
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = ready["url"].as_str().unwrap().to_owned();
        let client = Client::new();
        Self { process, url, client }
    }

    pub fn sandbox(&self, id: &str) -> String {
        format!("{}/sandbox/{id}", self.url)
    }

    pub async fn try_start(&self, id: &str, boot_id: &str) -> Response {
        let start = Start {
            offline: false,
            boot_id: boot_id.to_owned(),
            env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        };
        self.client
            .post(self.sandbox(id))
            .json(&start)
            .send()
            .await
            .unwrap()
    }

    /// Starts a sandbox and returns the running boot.
    pub async fn boot(&self, id: &str, boot_id: &str) -> Boot {
        let response = self.try_start(id, boot_id).await;
        assert_eq!(response.status(), 200);
        response.json::<Status>().await.unwrap().running.unwrap()
    }

    pub async fn status(&self, id: &str) -> Status {
        get(&self.sandbox(id)).await.json().await.unwrap()
    }

    /// Waits until the boot has ended.
    pub async fn exit(&self, id: &str, boot_id: &str) -> Status {
        get(&format!("{}/exit?boot={boot_id}", self.sandbox(id)))
            .await
            .json()
            .await
            .unwrap()
    }

    pub async fn stop(&self, id: &str) {
        let response = self
            .client
            .post(format!("{}/stop", self.sandbox(id)))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 204);
    }

    pub async fn destroy(&self, id: &str) {
        let response = self.client.delete(self.sandbox(id)).send().await.unwrap();
        assert_eq!(response.status(), 204);
    }

    pub fn signal(&self, name: &str) {
        signal(name, self.process.id() as i32);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub async fn get(url: &str) -> Response {
    reqwest::get(url).await.unwrap()
}

/// The output of a shell script in the sandbox at this address, both streams in one.
pub async fn sh(boot: &Boot, script: &str) -> String {
    let exec = serde_json::json!({ "argv": ["sh", "-c", format!("exec 2>&1; {script}")] });
    let url = format!("http://{}{}", boot.address, sandboxd::EXEC);
    let response = Client::new().post(url).json(&exec).send().await.unwrap();
    let stream = response.text().await.unwrap();
    let mut output = Vec::new();
    for event in stream
        .split("\n\n")
        .filter(|event| event.contains("event: stdout\n"))
    {
        let (_, data) = event.split_once("data: ").unwrap();
        output.extend(STANDARD.decode(data).unwrap());
    }
    String::from_utf8(output).unwrap().trim_end().to_owned()
}

/// The processes of this machine that were started for a boot, including bubblewrap: those with its
/// id in the environment.
pub fn processes(boot_id: &str) -> Vec<i32> {
    let variable = format!("{}={boot_id}", sandboxd::BOOT_ID_ENV);
    let of_boot = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == variable.as_bytes())
    };
    let pids = std::fs::read_dir("/proc").unwrap();
    pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(of_boot)
        .collect()
}

/// The process of a boot that runs `sandboxd`.
pub fn sandboxd_process(boot_id: &str) -> i32 {
    let is_sandboxd = |pid: &i32| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program.ends_with("sandboxd"))
    };
    processes(boot_id).into_iter().find(is_sandboxd).unwrap()
}

/// Waits until the condition holds; fails after ten seconds.
pub async fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds");
}

pub fn signal(name: &str, pid: i32) {
    let sent = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// The names in a directory.
pub fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
