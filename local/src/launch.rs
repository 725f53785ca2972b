//! Starts bubblewrap with a `sandboxd` in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, PipeReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use sandbox_protocol::{Tail, sandboxd};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bubblewrap::{self, Network};
use crate::names;
use crate::slirp::Slirp;
use crate::uplink::Uplink;

/// The descriptor of the listening socket, as in systemd's protocol of socket activation.
const LISTEN_FD: i32 = 3;
/// The descriptor to which bubblewrap writes the id of the process that it started.
const INFO_FD: i32 = 4;
/// The timeout for that id.
const INFO_TIMEOUT: Duration = Duration::from_secs(30);
/// The number of bytes from the end of the output of bubblewrap and `sandboxd` that are kept, to
/// explain a failure.
const LOG_TAIL: usize = 2048;

/// The programs that a sandbox consists of.
#[derive(Debug)]
pub struct Programs {
    /// `bwrap`.
    pub bwrap: PathBuf,
    /// `sandboxd`.
    pub sandboxd: PathBuf,
    /// The directory of Jupyter kernels for sandboxes. It need not exist.
    pub kernels: Option<PathBuf>,
    /// `slirp4netns`, where sandboxes can have networks of their own.
    pub slirp: Option<Slirp>,
}

impl Programs {
    /// The network of a sandbox that may reach the outside.
    pub fn network(&self) -> Network {
        match self.slirp {
            Some(_) => Network::Own,
            None => Network::Machine,
        }
    }
}

/// A bubblewrap that was started.
#[derive(Debug)]
pub struct Launched {
    /// The bubblewrap process outside. It ends after the sandbox, with the status of `sandboxd`, or
    /// with 128+n if signal n ended that.
    pub bwrap: Child,
    /// The process id of `sandboxd` outside; none when bubblewrap failed before it created a
    /// process.
    pub sandboxd: Option<i32>,
    /// The address of `sandboxd`. Connections wait there until it accepts them, and are refused
    /// once it has ended: no other process has the socket.
    pub address: SocketAddr,
    /// The secret that its requests must send; empty: none.
    pub secret: String,
    /// The connection to the outside of a sandbox that has a network of its own.
    pub uplink: Option<Uplink>,
    /// Copies the output of both to standard error; returns the end of it when both have ended.
    pub log: JoinHandle<String>,
}

/// The part of bubblewrap's message on `--info-fd` that is used here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    child_pid: i32,
}

/// Starts a sandbox with its directories in `directory`, with `env` added to the environment of
/// `sandboxd`. Its socket stays in this machine's network, whatever the `network` of the sandbox.
/// The sandbox is connected while `sandboxd` starts.
///
/// Errors: a socket, a pipe or the process could not be created, a variable has a NUL, or
/// bubblewrap timed out.
pub async fn launch(
    programs: &Programs,
    directory: &Path,
    env: BTreeMap<String, String>,
    network: Network,
) -> io::Result<Launched> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let secret = env.get(sandboxd::SECRET_ENV).cloned().unwrap_or_default();
    let (info, info_writer) = io::pipe()?;
    let (log, log_writer) = io::pipe()?;
    if network == Network::Own {
        names::write(directory)?;
    }

    let mut command = Command::new(&programs.bwrap);
    command
        .args(bubblewrap::arguments(
            &programs.sandboxd,
            programs.kernels.as_deref(),
            directory,
            INFO_FD,
            network,
        ))
        .env_clear()
        .envs(bubblewrap::ENVIRONMENT)
        .envs(env)
        // Last, so that the caller's variables cannot replace them. `sandboxd` is process 1 in its
        // namespace.
        .envs([("LISTEN_FDS", "1"), ("LISTEN_PID", "1")])
        .stdin(Stdio::null())
        .stdout(log_writer.try_clone()?)
        .stderr(log_writer)
        .fd_mappings(vec![mapping(listener, LISTEN_FD), mapping(info_writer, INFO_FD)])
        .map_err(io::Error::other)?;
    let mut command = tokio::process::Command::from(command);
    let bwrap = command.kill_on_drop(true).spawn()?;
    // Closes this process's copies of the socket and of the pipes' write ends.
    drop(command);

    let log = tokio::spawn(copy_log(log));
    let sandboxd = child_pid(info).await?;
    let slirp = programs.slirp.clone().filter(|_| network == Network::Own);
    Ok(Launched {
        bwrap,
        sandboxd,
        address,
        secret,
        uplink: slirp.zip(sandboxd).map(|(slirp, pid)| Uplink::new(slirp, pid)),
        log,
    })
}

/// The path of the program `name`, searched in `path`, a list like the variable `PATH`.
pub fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// The process that bubblewrap started, from the other end of its `--info-fd`. `None`: it failed
/// before.
pub async fn child_pid(info: PipeReader) -> io::Result<Option<i32>> {
    let mut json = Vec::new();
    timeout(INFO_TIMEOUT, receiver(info)?.read_to_end(&mut json)).await??;
    Ok(serde_json::from_slice::<Info>(&json)
        .ok()
        .map(|info| info.child_pid))
}

/// Makes `fd` the descriptor `child_fd` of a command.
pub fn mapping(fd: impl Into<OwnedFd>, child_fd: i32) -> FdMapping {
    FdMapping {
        parent_fd: fd.into(),
        child_fd,
    }
}

/// The end of a pipe that is read without blocking.
pub fn receiver(pipe: PipeReader) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(pipe.into())
}

async fn copy_log(log: PipeReader) -> String {
    let mut tail = Tail::new(LOG_TAIL);
    let Ok(mut log) = receiver(log) else {
        return String::new();
    };
    let mut chunk = Vec::with_capacity(8 * 1024);
    while log.read_buf(&mut chunk).await.is_ok_and(|n| n > 0) {
        // Standard error may have no reader any more; the sandbox goes on nevertheless.
        let _ = tokio::io::stderr().write_all(&chunk).await;
        tail.push(&chunk);
        chunk.clear();
    }
    tail.text().trim().to_owned()
}
