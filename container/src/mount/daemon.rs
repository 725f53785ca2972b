//! A running s3fs.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::pid1::Children;
use crate::process::spawn::{Child, Role};

/// The program.
pub const S3FS: &str = "s3fs";

/// How many bytes of what it said last are kept.
const LOG_TAIL: usize = 8 * 1024;

/// For so long its last words are waited for once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running s3fs. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    /// Its process.
    pub pid: Pid,
    kill: mpsc::Sender<()>,
    ended: watch::Receiver<bool>,
    said: Arc<Mutex<VecDeque<u8>>>,
    /// True once there is nothing more to read.
    silent: watch::Receiver<bool>,
}

impl Daemon {
    /// Starts it with `arguments`, on a thread of the runtime. Its environment holds nothing: no variable of `sandboxd`
    /// can change what it does.
    pub fn start(
        arguments: &[String],
        path: Option<&OsStr>,
        directory: &Path,
        children: Arc<Children>,
    ) -> io::Result<Self> {
        let (log, log_writer) = io::pipe()?;
        let mut command = Command::new(S3FS);
        command
            .args(arguments)
            .env_clear()
            .envs(path.map(|path| ("PATH", path)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log_writer.try_clone()?)
            .stderr(log_writer);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = Child::spawn(&mut command, OsStr::new(S3FS), Role::Helper, children)?;
        // With the command goes our copy of the pipe's other end.
        drop(command);
        let pid = child.pid();
        let (kill, killed) = mpsc::channel(1);
        let (end, ended) = watch::channel(false);
        tokio::spawn(own(child, killed, end));
        let said = Arc::default();
        let (silence, silent) = watch::channel(false);
        let log = pipe::Receiver::from_owned_fd(log.into())?;
        tokio::spawn(listen(log, Arc::clone(&said), silence));
        Ok(Self {
            pid,
            kill,
            ended,
            said,
            silent,
        })
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns when it has ended.
    pub async fn ended(&self) {
        // An error says that the task is gone, which it is after the end.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Waits until it has ended; kills it when that takes longer than `patience`.
    pub async fn end(self, patience: Duration) {
        if timeout(patience, self.ended()).await.is_err() {
            self.kill();
            self.ended().await;
        }
    }

    /// Kills it.
    pub fn kill(&self) {
        // An error says that it has ended, or was asked for.
        let _ = self.kill.try_send(());
    }

    /// What it said last. When it has ended, all of it is there.
    pub async fn said(&self) -> String {
        if self.has_ended() {
            let _ = timeout(LAST_WORDS, self.silent.clone().wait_for(|silent| *silent)).await;
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, end) = said.as_slices();
        String::from_utf8_lossy(&[start, end].concat()).into_owned()
    }
}

/// Owns the process to its end.
async fn own(child: Child, mut killed: mpsc::Receiver<()>, end: watch::Sender<bool>) {
    tokio::select! {
        () = child.ended() => {}
        // Asked for, or nobody holds the daemon any more.
        _ = killed.recv() => {
            // It has not been collected, so its id is its own.
            if let Err(e) = kill_process(child.pid(), Signal::KILL) {
                tracing::warn!(pid = child.pid().as_raw_pid(), error = %e, "cannot kill s3fs");
            }
            child.ended().await;
        }
    }
    if let Err(e) = child.collect() {
        tracing::warn!(error = %e, "cannot collect s3fs");
    }
    end.send_replace(true);
}

/// Keeps the end of what it says.
async fn listen(mut log: pipe::Receiver, said: Arc<Mutex<VecDeque<u8>>>, silence: watch::Sender<bool>) {
    let mut chunk = Vec::with_capacity(LOG_TAIL);
    while log.read_buf(&mut chunk).await.is_ok_and(|n| n > 0) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(chunk.drain(..));
        let excess = said.len().saturating_sub(LOG_TAIL);
        said.drain(..excess);
    }
    silence.send_replace(true);
}
