//! A running s3fs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sandbox_protocol::Tail;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::process::children::Children;
use crate::process::directory::Directory;
use crate::process::program::Program;
use crate::process::program::path_of;
use crate::process::spawn::{Child, Start};

/// The program.
pub const S3FS: &str = "s3fs";

/// The number of bytes kept of the end of its output.
const LOG_TAIL: usize = 8 * 1024;

/// How long to wait for the rest of its output once it has ended.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// A running s3fs. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    /// Its process.
    pub pid: Pid,
    kill: mpsc::Sender<()>,
    ended: watch::Receiver<bool>,
    output: Arc<Mutex<Tail>>,
    /// True once its whole output was read.
    log_closed: watch::Receiver<bool>,
}

impl Daemon {
    /// Starts it with `arguments`, on a thread of the runtime. Its environment holds nothing: no
    /// variable of `sandboxd` can change what it does.
    pub fn start(
        arguments: &[String],
        path: Option<&OsStr>,
        directory: &Path,
        children: Arc<Children>,
    ) -> io::Result<Self> {
        let (log, log_writer) = io::pipe()?;
        let argv: Vec<_> = [S3FS]
            .map(String::from)
            .into_iter()
            .chain(arguments.iter().cloned())
            .collect();
        let env: BTreeMap<_, _> = path
            .map(|path| ("PATH".into(), path.to_owned()))
            .into_iter()
            .collect();
        let program =
            Program::resolve(&argv, &path_of(&env), directory).map_err(|_| io::ErrorKind::NotFound)?;
        let cwd = Directory::existing(directory.to_owned());
        let null = File::open("/dev/null")?;
        let child = Start::helper(&program, &cwd, &env)
            .spawn([null.as_fd(), log_writer.as_fd(), log_writer.as_fd()], children)?;
        drop(log_writer);
        let pid = child.pid();
        let (kill, killed) = mpsc::channel(1);
        let (end, ended) = watch::channel(false);
        tokio::spawn(own(child, killed, end));
        let output = Arc::new(Mutex::new(Tail::new(LOG_TAIL)));
        let (close_log, log_closed) = watch::channel(false);
        let log = pipe::Receiver::from_owned_fd(log.into())?;
        tokio::spawn(keep_tail(log, Arc::clone(&output), close_log));
        Ok(Self {
            pid,
            kill,
            ended,
            output,
            log_closed,
        })
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns when it has ended.
    pub async fn ended(&self) {
        // Fails when the task is gone, which it is after the end.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Waits until it has ended; kills it when that takes longer than `limit`.
    pub async fn end(self, limit: Duration) {
        if timeout(limit, self.ended()).await.is_err() {
            self.kill();
            self.ended().await;
        }
    }

    /// Kills it.
    pub fn kill(&self) {
        // Fails when it has ended, or is being killed already.
        let _ = self.kill.try_send(());
    }

    /// The end of its output so far; complete when it has ended.
    pub async fn output(&self) -> String {
        if self.has_ended() {
            let _ = timeout(
                LOG_TIMEOUT,
                self.log_closed.clone().wait_for(|log_closed| *log_closed),
            )
            .await;
        }
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.text()
    }
}

/// Owns the process to its end.
async fn own(child: Child, mut killed: mpsc::Receiver<()>, end: watch::Sender<bool>) {
    tokio::select! {
        () = child.ended() => {}
        // The daemon is to be killed, or was dropped.
        _ = killed.recv() => {
            // It has not been reaped, so its pid is not reused.
            if let Err(e) = kill_process(child.pid(), Signal::KILL) {
                tracing::warn!(pid = child.pid().as_raw_pid(), error = %e, "cannot kill s3fs");
            }
            child.ended().await;
        }
    }
    if let Err(e) = child.reap() {
        tracing::warn!(error = %e, "cannot reap s3fs");
    }
    end.send_replace(true);
}

/// Keeps the last [`LOG_TAIL`] bytes of its output.
async fn keep_tail(mut log: pipe::Receiver, output: Arc<Mutex<Tail>>, close_log: watch::Sender<bool>) {
    let mut chunk = Vec::with_capacity(LOG_TAIL);
    while log.read_buf(&mut chunk).await.is_ok_and(|n| n > 0) {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.push(&chunk);
        chunk.clear();
    }
    close_log.send_replace(true);
}
