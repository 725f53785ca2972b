//! Starts bubblewrap with a `sandboxd` in it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, PipeReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};
use sandbox_protocol::sandboxd;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::bubblewrap;

/// The descriptor of the listening socket, where the protocol of systemd's socket activation has it.
const LISTEN_FD: i32 = 3;
/// The descriptor on which bubblewrap says which process it started.
const INFO_FD: i32 = 4;
/// How many bytes of what a sandbox's own processes wrote last are kept, to explain a failure.
const LOG_TAIL: usize = 2048;

/// The programs that make a sandbox.
#[derive(Debug)]
pub struct Programs {
    /// `bwrap`.
    pub bwrap: PathBuf,
    /// `sandboxd`.
    pub sandboxd: PathBuf,
}

/// A bubblewrap that was started.
#[derive(Debug)]
pub struct Launched {
    /// The bubblewrap process outside. It ends when the sandbox has, with the status of `sandboxd`, or with 128+n if
    /// signal n ended that.
    pub bwrap: Child,
    /// The process id, outside, of `sandboxd`; none when bubblewrap failed before it made a process.
    pub sandboxd: Option<i32>,
    /// Where `sandboxd` listens. Connections wait there until it accepts them, and are refused once it has ended:
    /// no one else has the socket.
    pub address: SocketAddr,
    /// What its requests must show; empty: nothing.
    pub secret: String,
    /// Copies what both of them write to standard error; gives the end of it when both have ended.
    pub log: JoinHandle<String>,
}

/// What bubblewrap says on `--info-fd`, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    child_pid: i32,
}

/// Starts a sandbox whose own directories lie in `directory`, with `env` added to the environment that `sandboxd` gets.
///
/// Errors: a socket, a pipe or the process could not be made, or a variable has a NUL.
pub async fn launch(
    programs: &Programs,
    directory: &Path,
    env: BTreeMap<String, String>,
) -> io::Result<Launched> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let secret = env.get(sandboxd::SECRET_ENV).cloned().unwrap_or_default();
    let (info, info_writer) = io::pipe()?;
    let (log, log_writer) = io::pipe()?;

    let mut command = Command::new(&programs.bwrap);
    command
        .args(bubblewrap::arguments(&programs.sandboxd, directory, INFO_FD))
        .env_clear()
        .envs(bubblewrap::ENVIRONMENT)
        .envs(env)
        // Last, so that no variable of the caller's can replace them. `sandboxd` is process 1 where it runs.
        .envs([("LISTEN_FDS", "1"), ("LISTEN_PID", "1")])
        .stdin(Stdio::null())
        .stdout(log_writer.try_clone()?)
        .stderr(log_writer)
        .fd_mappings(vec![mapping(listener, LISTEN_FD), mapping(info_writer, INFO_FD)])
        .map_err(io::Error::other)?;
    let mut command = tokio::process::Command::from(command);
    let bwrap = command.kill_on_drop(true).spawn()?;
    // With the command go this process's copies of the socket and of the pipes' other ends.
    drop(command);

    let log = tokio::spawn(copy_log(log));
    let mut json = Vec::new();
    receiver(info)?.read_to_end(&mut json).await?;
    Ok(Launched {
        bwrap,
        sandboxd: serde_json::from_slice::<Info>(&json)
            .ok()
            .map(|info| info.child_pid),
        address,
        secret,
        log,
    })
}

fn mapping(fd: impl Into<OwnedFd>, child_fd: i32) -> FdMapping {
    FdMapping {
        parent_fd: fd.into(),
        child_fd,
    }
}

fn receiver(pipe: PipeReader) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(pipe.into())
}

async fn copy_log(log: PipeReader) -> String {
    let mut tail = VecDeque::new();
    let Ok(mut log) = receiver(log) else {
        return String::new();
    };
    let mut chunk = Vec::with_capacity(8 * 1024);
    while log.read_buf(&mut chunk).await.is_ok_and(|n| n > 0) {
        // Nobody may be listening any more; the sandbox goes on all the same.
        let _ = tokio::io::stderr().write_all(&chunk).await;
        tail.extend(chunk.drain(..));
        tail.drain(..tail.len().saturating_sub(LOG_TAIL));
    }
    String::from_utf8_lossy(&Vec::from(tail)).trim().to_owned()
}
