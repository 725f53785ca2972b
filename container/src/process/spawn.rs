//! From a program to a process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use sandbox_protocol::Limits;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::image::Image;
use super::program::Program;
use super::watched::watch;
use crate::pid1::Children;
use crate::protect;
use crate::session::files::ShellFiles;
use crate::user::Ids;

/// How much of a command's output the kernel keeps, in bytes: fewer switches between writer and reader than with the
/// usual 64 KiB. Not more, as the pipes of a user without privileges are limited all together.
const PIPE_SIZE: usize = 256 * 1024;

/// Helpers are ended later than commands when memory runs out, and sooner than `sandboxd`, whose own chance they would
/// inherit.
const HELPER_OOM_SCORE: &[u8] = b"0";

/// How a command starts.
#[derive(Debug)]
pub struct Start<'a> {
    /// What it executes.
    pub program: &'a Program<'a>,
    /// Where it starts.
    pub cwd: &'a Path,
    /// Its whole environment.
    pub env: &'a BTreeMap<OsString, OsString>,
    /// What it is to `sandboxd`.
    pub role: Role<'a>,
    /// Whether its standard input is a pipe; it is empty otherwise.
    pub piped_stdin: bool,
    /// What else it has open, if it is a shell that keeps a session's state.
    pub files: Option<&'a ShellFiles>,
}

/// What a process is to `sandboxd`.
#[derive(Debug, Clone, Copy)]
pub enum Role<'a> {
    /// One of the sandbox's.
    Command {
        /// What it runs as, if it is not what `sandboxd` runs as.
        ids: Option<&'a Ids>,
        /// What it is kept to.
        limits: &'a Limits,
    },
    /// One that works for `sandboxd`, as its user.
    Helper,
}

/// A command that was started: itself, and our ends of its pipes.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// The pipe that it reads, if it was asked for.
    pub stdin: Option<OwnedFd>,
    /// The pipe that it writes its standard output to.
    pub stdout: OwnedFd,
    /// The pipe that it writes its standard error to.
    pub stderr: OwnedFd,
}

/// A child process. Its end can be seen without collecting it, so that its id stays its own for as long as its tree is
/// being ended.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    is_collected: bool,
    children: Arc<Children>,
}

impl Start<'_> {
    /// Starts the command, as the leader of a process group of its own. Errors are those of the kernel.
    pub fn spawn(&self, children: Arc<Children>) -> io::Result<Started> {
        let mut command = Command::new(&self.program.path);
        let mut argv = self.program.argv.iter().map(|arg| OsStr::new(arg.as_ref()));
        let name = argv.next().unwrap_or_default();
        command
            .args(argv)
            .current_dir(self.cwd)
            .env_clear()
            .envs(self.env)
            .process_group(0)
            .stdin(if self.piped_stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(files) = self.files {
            files.pass_to(&mut command);
        }
        let mut child = Child::spawn(&mut command, name, self.role, children)?;
        let process = &mut child.process;
        let stdin = process.stdin.take().map(OwnedFd::from);
        match (process.stdout.take(), process.stderr.take()) {
            (Some(stdout), Some(stderr)) => Ok(Started {
                child,
                stdin,
                stdout: stdout.into(),
                stderr: stderr.into(),
            }),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// Lets the child take on `ids` after the fork, keep to `limits` and execute `image`. The standard library's own way knows
/// no supplementary groups.
fn switch_user(command: &mut Command, ids: Ids, limits: &Limits, image: Image) {
    let score = limits.command_oom_score.value.to_string();
    let switch = move || {
        // First: another user may not write there.
        protect::name_first(score.as_bytes())?;
        set_thread_groups(&ids.groups)?;
        set_thread_gid(ids.gid)?;
        set_thread_uid(ids.uid)?;
        // The last of all that runs there.
        Err(image.execute())
    };
    // SAFETY: runs between fork and exec, where only async-signal-safe calls are allowed: it makes system calls
    // and touches no lock and no allocator. The child has one thread there, so that thread's ids are the process's.
    unsafe { command.pre_exec(switch) };
}

/// Lets a child that was started keep to `limits`. Without a switch of users nothing of ours runs between fork and exec:
/// the standard library then starts a program the fast way, without a copy of our memory. The child is busy loading its
/// program meanwhile.
fn confine(pid: Pid, limits: &Limits) {
    protect::name_other_first(pid, limits.command_oom_score.value.to_string().as_bytes());
    protect::limit_processes(pid, limits);
}

/// Lets `pipe` hold more, if the kernel allows it.
pub fn enlarge(pipe: &OwnedFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_SIZE);
}

impl Child {
    /// Starts `command`, which must make the child the leader of a process group of its own, under the name `argv0`. Lets it
    /// be what its `role` says and enters it in `children`. Errors are those of the kernel.
    pub fn spawn(
        command: &mut Command,
        argv0: &OsStr,
        role: Role<'_>,
        children: Arc<Children>,
    ) -> io::Result<Self> {
        command.arg0(argv0);
        if let Role::Command {
            ids: Some(ids),
            limits,
        } = role
        {
            let image = Image::of(command, argv0)?;
            switch_user(command, ids.clone(), limits, image);
        }
        let mut process = children.spawn(
            || command.spawn(),
            |process| Pid::from_raw(i32::try_from(process.id()).ok()?),
        )?;
        let pid = Pid::from_child(&process);
        match role {
            // It has done so itself.
            Role::Command { ids: Some(_), .. } => {}
            Role::Command { ids: None, limits } => confine(pid, limits),
            Role::Helper => protect::name_other_first(pid, HELPER_OOM_SCORE),
        }
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(io::Error::from)
            .and_then(|pidfd| watch(pidfd, Interest::READABLE));
        match pidfd {
            Ok(pidfd) => Ok(Self {
                process,
                pid,
                pidfd,
                is_collected: false,
                children,
            }),
            Err(e) => {
                end(&mut process, pid, &children)?;
                Err(e)
            }
        }
    }

    /// Its process id, and that of its process group.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns when it has ended. Does not collect it.
    pub async fn ended(&self) {
        // A pidfd becomes readable and stays so. Waiting for it fails only when the runtime stops.
        let _ = self.pidfd.readable().await;
    }

    /// How it ended, when it has. Does not collect it.
    pub fn status(&self) -> Option<ExitStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(self.pid), options).ok()??;
        let signal = ended.terminating_signal();
        // As `wait` encodes it.
        signal
            .or_else(|| Some(ended.exit_status()? << 8))
            .map(ExitStatus::from_raw)
    }

    /// Collects it after [`ended`](Self::ended): how it ended.
    pub fn collect(mut self) -> io::Result<ExitStatus> {
        self.is_collected = true;
        self.children.collect(self.pid, || self.process.wait())
    }
}

impl Drop for Child {
    /// A command that nobody supervises, because its task could not be set up or is over, does not go on.
    fn drop(&mut self) {
        if !self.is_collected
            && let Err(e) = end(&mut self.process, self.pid, &self.children)
        {
            tracing::warn!(pid = self.pid.as_raw_pid(), error = %e, "cannot end a command");
        }
    }
}

fn end(process: &mut std::process::Child, pid: Pid, children: &Children) -> io::Result<ExitStatus> {
    process.kill()?;
    children.collect(pid, || process.wait())
}
