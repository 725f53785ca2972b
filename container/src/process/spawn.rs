//! Starts a program as a child process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;

use rustix::fs::{Access, access};
use rustix::process::{
    Pid, PidfdFlags, Rlimit, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group,
    pidfd_open, waitid, waitpid,
};
use sandbox_protocol::Limits;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::descriptors::{self, Passed};
use super::directory::Directory;
use super::fork::Fork;
use super::gate;
use super::image::Image;
use super::program::Program;
use super::watched::watch;
use crate::process::children::Children;
use crate::protect;
use crate::threads::IsCancelled;
use crate::user::Ids;

/// The size of the pipe for a command's output, in bytes: fewer switches between writer and reader
/// than with the default of 64 KiB. Not more, as the kernel limits the total for a user without
/// privileges.
const PIPE_SIZE: usize = 256 * 1024;

/// The OOM score of helpers: when memory runs out, they are killed later than commands, and sooner
/// than `sandboxd`, whose score they would inherit.
const HELPER_OOM_SCORE: &str = "0";

/// The parameters of a start.
pub struct Start<'a> {
    /// The program.
    pub program: &'a Program<'a>,
    /// The working directory.
    pub cwd: &'a Directory,
    /// The whole environment.
    pub env: &'a BTreeMap<OsString, OsString>,
    /// The role of the process.
    pub role: Role<'a>,
    /// The umask, if it differs from that of `sandboxd`.
    pub umask: Option<u32>,
    /// Descriptors besides those of the standard streams.
    pub descriptors: &'a [Passed<'a>],
    /// Whether the standard input is a terminal, which the process controls as the leader of a
    /// session.
    pub controls_terminal: bool,
    /// Tells whether the start was cancelled.
    pub is_cancelled: IsCancelled<'a>,
}

/// The role of a process.
#[derive(Debug, Clone, Copy)]
pub enum Role<'a> {
    /// A process of the sandbox.
    Command {
        /// The user that it runs as, if another than that of `sandboxd`.
        ids: Option<&'a Ids>,
        /// The limits that apply to it.
        limits: &'a Limits,
    },
    /// A helper of `sandboxd`, which runs as the same user.
    Helper,
}

/// A started command, with our ends of its pipes.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// The pipe to its standard input, if requested.
    pub stdin: Option<OwnedFd>,
    /// The pipe from its standard output.
    pub stdout: OwnedFd,
    /// The pipe from its standard error.
    pub stderr: OwnedFd,
}

/// A child process. Its end can be observed without reaping it, so that its id stays reserved
/// while its tree is being ended.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    children: Arc<Children>,
    is_reaped: bool,
}

impl<'a> Start<'a> {
    /// The start of a helper of `sandboxd`.
    pub fn helper(
        program: &'a Program<'a>,
        cwd: &'a Directory,
        env: &'a BTreeMap<OsString, OsString>,
    ) -> Self {
        Self {
            program,
            cwd,
            env,
            role: Role::Helper,
            umask: None,
            descriptors: &[],
            controls_terminal: false,
            is_cancelled: &|| false,
        }
    }

    /// Starts the process with pipes as its standard output and error, and as its standard input if
    /// `piped_stdin` is true; otherwise this is `/dev/null`. Blocks and fails as
    /// [`spawn`](Self::spawn) does.
    pub fn spawn_with_pipes(&self, piped_stdin: bool, children: Arc<Children>) -> io::Result<Started> {
        let (input, stdin) = if piped_stdin {
            let (input, stdin) = io::pipe()?;
            (input.into(), Some(stdin.into()))
        } else {
            (OwnedFd::from(File::open("/dev/null")?), None)
        };
        let (stdout, output) = io::pipe()?;
        let (stderr, errors) = io::pipe()?;
        let child = self.spawn([input.as_fd(), output.as_fd(), errors.as_fd()], children)?;
        Ok(Started {
            child,
            stdin,
            stdout: stdout.into(),
            stderr: stderr.into(),
        })
    }

    /// Starts the process with the standard streams `stdio`, as the leader of a process group of
    /// its own, and enters it in `children`. Errors are those of the kernel, and
    /// [`io::ErrorKind::Interrupted`] when it was cancelled before the fork. Blocks until the file
    /// systems of its directory and its program answer: see [`threads`](crate::threads).
    pub fn spawn(&self, stdio: [BorrowedFd<'_>; 3], children: Arc<Children>) -> io::Result<Child> {
        let image = Image::new(self.program, self.env, self.cwd)?;
        touch(self.cwd.path(), &self.program.path);
        // Helpers serve what may be read while all processes are stopped.
        let starting = match self.role {
            Role::Command { .. } => Some(gate::start()),
            Role::Helper => None,
        };
        // The client may have stopped waiting while this blocked.
        if (self.is_cancelled)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let passed: Vec<_> = stdio
            .into_iter()
            .zip(0..)
            .chain(self.descriptors.iter().copied())
            .chain(self.cwd.descriptor())
            .collect();
        let assigned = descriptors::reserve()?.assign(&passed)?;
        let oom_score = self.role.oom_score();
        let fork = Fork {
            descriptors: &assigned,
            image: &image,
            umask: self.umask,
            controls_terminal: self.controls_terminal,
            process_limit: self.role.process_limit(),
            user: self.role.ids().map(|ids| (ids, oom_score.as_bytes())),
        };
        let pid = fork.run()?;
        drop((assigned, starting));
        match self.role {
            Role::Command { .. } => children.enter(pid),
            Role::Helper => children.enter_helper(pid),
        }
        if self.role.ids().is_none() {
            // From outside: only root may write the score of a process that is not dumpable, as
            // `sandboxd` is.
            protect::prefer_other_as_oom_victim(pid, oom_score.as_bytes());
        }
        Child::new(pid, children)
    }
}

impl Role<'_> {
    fn ids(&self) -> Option<&Ids> {
        match self {
            Self::Command { ids, .. } => *ids,
            Self::Helper => None,
        }
    }

    fn process_limit(&self) -> Option<Rlimit> {
        match self {
            Self::Command { limits, .. } => protect::process_limit(limits),
            Self::Helper => None,
        }
    }

    /// The OOM score adjustment, in decimal.
    fn oom_score(&self) -> String {
        match self {
            Self::Command { limits, .. } => limits.command_oom_score.value.to_string(),
            Self::Helper => HELPER_OOM_SCORE.to_owned(),
        }
    }
}

/// Enlarges `pipe`, if the kernel allows it.
pub fn enlarge(pipe: &OwnedFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_SIZE);
}

impl Child {
    fn new(pid: Pid, children: Arc<Children>) -> io::Result<Self> {
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(io::Error::from)
            .and_then(|pidfd| watch(pidfd, Interest::READABLE));
        match pidfd {
            Ok(pidfd) => Ok(Self {
                pid,
                pidfd,
                children,
                is_reaped: false,
            }),
            Err(e) => {
                abandon(pid, children);
                Err(e)
            }
        }
    }

    /// Its process id, and that of its process group.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns when it has ended. Does not reap it.
    pub async fn ended(&self) {
        // A pidfd becomes readable and stays so. Waiting for it fails only when the runtime stops.
        let _ = self.pidfd.readable().await;
    }

    /// Its exit status, once it has ended. Does not reap it.
    pub fn status(&self) -> Option<ExitStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(self.pid), options).ok()??;
        let signal = ended.terminating_signal();
        // Encoded as `wait` does.
        signal
            .or_else(|| Some(ended.exit_status()? << 8))
            .map(ExitStatus::from_raw)
    }

    /// Reaps it after [`ended`](Self::ended), and returns its exit status.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.is_reaped = true;
        reap(self.pid, &self.children)
    }
}

impl Drop for Child {
    /// Kills a command without a task, because the task could not be set up or has ended.
    fn drop(&mut self) {
        if !self.is_reaped {
            abandon(self.pid, Arc::clone(&self.children));
        }
    }
}

fn reap(pid: Pid, children: &Children) -> io::Result<ExitStatus> {
    let reaped = children.reap(pid, || waitpid(Some(pid), WaitOptions::empty()));
    let (_, status) = reaped?.ok_or(io::ErrorKind::NotFound)?;
    Ok(ExitStatus::from_raw(status.as_raw()))
}

/// Kills a child, and reaps it on a thread of its own: even SIGKILL may take time.
fn abandon(pid: Pid, children: Arc<Children>) {
    let _ = kill_process_group(pid, Signal::KILL);
    let end = move || {
        let killed = kill_process(pid, Signal::KILL).map_err(io::Error::from);
        if let Err(e) = killed.and_then(|()| reap(pid, &children)) {
            tracing::warn!(pid = pid.as_raw_pid(), error = %e, "cannot end a command");
        }
    };
    if let Err(e) = thread::Builder::new().name("abandoned".into()).spawn(end) {
        tracing::warn!(pid = pid.as_raw_pid(), error = %e, "a command is killed and stays a zombie");
    }
}

/// Accesses the directory and the program of the child before the fork. When their file system does
/// not answer, this thread waits, which holds nothing that others need, and not a child, which
/// would hold its pipes.
fn touch(directory: &Path, program: &Path) {
    let program = directory.join(program);
    // The child meets the same errors and reports them.
    let _ = access(directory, Access::EXEC_OK);
    if program.metadata().is_ok_and(|found| found.is_file())
        // It may have become a FIFO meanwhile.
        && let Ok(mut program) = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(program)
    {
        let _ = program.read(&mut [0; 1]);
    }
}
