//! A `sandboxd` with a stand-in for `cloudflared`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use sandbox_protocol::{ErrorBody, Tunnel};
use serde_json::Value;
use tempfile::TempDir;

use super::Sandboxd;

/// A `sandboxd` whose `cloudflared` is the stand-in.
pub struct Tunnels {
    pub sandboxd: Sandboxd,
    directory: TempDir,
}

impl Tunnels {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(env: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("cloudflared");
        fs::write(&program, include_str!("../../../../tests/stand-ins/cloudflared")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let sandboxd = Sandboxd::start_with(|command| {
            command
                .env("SANDBOX_CLOUDFLARED", &program)
                .envs(env.iter().copied());
        });
        Self { sandboxd, directory }
    }

    pub fn request(&self, method: &str, port: &str, body: &str) -> (u16, String) {
        let (head, body) = self.sandboxd.send(&format!("{method} /tunnel/{port}"), body);
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    pub fn open(&self, port: &str, body: &str) -> Tunnel {
        let (status, body) = self.request("POST", port, body);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn error_of(&self, method: &str, port: &str, body: &str) -> (u16, ErrorBody) {
        let (status, body) = self.request(method, port, body);
        (status, serde_json::from_str(&body).unwrap())
    }

    pub fn set_mode(&self, mode: &str) {
        fs::write(self.mode(), mode).unwrap();
    }

    pub fn mode(&self) -> PathBuf {
        self.directory.path().join("mode")
    }

    /// The input of each run of the stand-in.
    pub fn runs(&self) -> Vec<Value> {
        let runs = fs::read_to_string(self.directory.path().join("runs")).unwrap_or_default();
        runs.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub fn pid(&self, run: usize) -> u32 {
        u32::try_from(self.runs()[run]["pid"].as_u64().unwrap()).unwrap()
    }
}
