//! A private mount: s3fs mounts the bucket in a directory that only `sandboxd`'s user can enter.
//! Once the bucket answers there, the mount is moved to the path that the client named. So nobody
//! sees a mount that does not work, and one that fails leaves nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use sandbox_protocol::mount::Credentials;
use tokio::time::sleep;

use super::daemon::Daemon;
use super::s3fs;
use crate::paths::descriptor_path;
use crate::process::shell_error::os_message;
use crate::random::random_id;
use crate::threads::PATHS;

/// The parent directory of stages.
const PARENT: &str = "/run";

/// The first interval between two checks for the mount, and the longest.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A private directory with the credentials and an empty directory for the bucket. Dropping it
/// unmounts the bucket in it and removes it; that may block.
#[derive(Debug)]
pub struct Stage {
    directory: PathBuf,
    has_key: bool,
}

impl Stage {
    /// Makes a stage. Only our own user can read the file with the credentials.
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

    /// The directory that the bucket is mounted on.
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

    /// Waits until the bucket can be listed; returns its root directory, opened. The text of an
    /// error is not s3fs's own, which explains more.
    pub async fn answers(&self, daemon: &Daemon) -> Result<File, String> {
        let listed = async {
            let mut pause = POLL_INTERVALS.0;
            loop {
                let bucket = self.bucket();
                let mounted = PATHS.run(move || is_mounted(&bucket)).await;
                if mounted.flatten().map_err(|e| os_message(&e))? {
                    break;
                }
                sleep(pause).await;
                pause = (pause * 2).min(POLL_INTERVALS.1);
            }
            let (directory, bucket) = (self.directory.clone(), self.bucket());
            // It blocks until s3fs answers, or is killed.
            let listed = PATHS.run(move || list(&directory, &bucket)).await;
            listed.flatten().map_err(|e| os_message(&e))
        };
        tokio::select! {
            () = daemon.ended() => Err("s3fs ended".to_owned()),
            listed = listed => listed,
        }
    }
}

/// Whether there is a mount on `directory`. Asks the kernel and not the mount, which may not
/// answer.
fn is_mounted(directory: &Path) -> io::Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(mounts
        .lines()
        .any(|line| line.split(' ').nth(4).map(Path::new) == Some(directory)))
}

/// Lists the mount on `bucket`, which is in `directory`, and returns its root.
fn list(directory: &Path, bucket: &Path) -> io::Result<File> {
    let root = File::open(bucket)?;
    // s3fs mounts before it asks for the bucket, and unmounts when that fails: the directory below
    // would list as empty.
    if root.metadata()?.dev() == fs::metadata(directory)?.dev() {
        return Err(io::Error::other("s3fs has unmounted the bucket"));
    }
    fs::read_dir(descriptor_path(&root))?.next().transpose()?;
    Ok(root)
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Fails when there is no mount: it failed before, or was moved.
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
