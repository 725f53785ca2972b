//! A mount out of sight: s3fs mounts the bucket in a directory that only `sandboxd`'s user can enter, and only once the
//! bucket answers there is it moved to where the client wants it. So nobody sees a mount that does not work, and one that
//! fails leaves nothing.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use sandbox_protocol::mount::Credentials;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::daemon::Daemon;
use super::s3fs;
use crate::config::random_id;
use crate::process::refusal::reason;

/// Where stages are made.
const PARENT: &str = "/run";

/// The first pause between two looks, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A private directory with the credentials and an empty directory for the bucket. Dropped, it is gone, and so is what
/// is mounted in it; dropping may block.
#[derive(Debug)]
pub struct Stage {
    directory: PathBuf,
    has_key: bool,
}

impl Stage {
    /// Makes a stage. The credentials are in a file that only our own user can read.
    pub fn make(credentials: Option<&Credentials>) -> io::Result<Self> {
        let stage = Self {
            directory: Path::new(PARENT).join(format!("sandboxd-mount-{}", random_id()?)),
            has_key: credentials.is_some(),
        };
        DirBuilder::new().mode(0o700).create(&stage.directory)?;
        fs::create_dir(stage.bucket())?;
        if let Some(credentials) = credentials {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(stage.key_file())?;
            file.write_all(s3fs::key_file(credentials).as_bytes())?;
        }
        Ok(stage)
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the bucket is mounted.
    pub fn bucket(&self) -> PathBuf {
        self.directory.join("bucket")
    }

    /// The file with the credentials, if there are any.
    pub fn key(&self) -> Option<PathBuf> {
        self.has_key.then(|| self.key_file())
    }

    fn key_file(&self) -> PathBuf {
        self.directory.join("key")
    }

    /// Waits until the bucket can be listed. The error is in words that are not s3fs's own; those say more.
    pub async fn answers(&self, daemon: &Daemon) -> Result<(), String> {
        let listed = async {
            let mut pause = PAUSES.0;
            while !self.is_mounted().map_err(|e| reason(&e))? {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            let bucket = self.bucket();
            let list = move || fs::read_dir(bucket)?.next().transpose().map(drop);
            // It blocks until s3fs answers, or is killed.
            match spawn_blocking(list).await {
                Ok(listed) => listed.map_err(|e| reason(&e)),
                Err(e) => Err(e.to_string()),
            }
        };
        tokio::select! {
            () = daemon.ended() => Err("s3fs ended".to_owned()),
            listed = listed => listed,
        }
    }

    /// Whether something is mounted. Asks the kernel and not the mount, which may not answer.
    fn is_mounted(&self) -> io::Result<bool> {
        let bucket = self.bucket();
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        Ok(mounts
            .lines()
            .any(|line| line.split(' ').nth(4).map(Path::new) == Some(&bucket)))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Errors say that there is nothing: it failed before, or was moved.
        let _ = unmount(self.bucket(), UnmountFlags::DETACH);
        if self.has_key {
            let _ = fs::remove_file(self.key_file());
        }
        let _ = fs::remove_dir(self.bucket());
        if let Err(e) = fs::remove_dir(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), error = %e, "something of a mount is left");
        }
    }
}
