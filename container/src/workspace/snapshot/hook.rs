//! The program `.sandbox/before-save` of the workspace, which runs before a save. It can write what is
//! only in memory, or stop a server.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use sandbox_protocol::Tail;
use sandbox_protocol::snapshot::HookResult;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::Snapshots;
use crate::environment::Variables;
use crate::process::directory::Directory;
use crate::process::program::{Program, path_of};
use crate::process::shell_error::ShellError;
use crate::process::spawn::{Child, Role, Start};
use crate::process::status::{ended, timed_out};
use crate::process::tree::{COOKIE, Tree};
use crate::random::random_id;
use crate::threads::{PATHS, PROCESSES};

/// The program, from the workspace on.
const PROGRAM: &str = "./.sandbox/before-save";

/// The bytes that are kept of the end of its output.
const OUTPUT: usize = 4096;

/// How long to wait for the rest of its output once its tree has ended.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// The program, started.
struct Started {
    child: Child,
    tree: Tree,
    output: pipe::Receiver,
}

impl Snapshots {
    /// Runs the program to its end, or until its time is over. `None`: there is none. It is no command
    /// of the sandbox, and keeps it not awake.
    pub(super) async fn run_hook(self: &Arc<Self>) -> Option<HookResult> {
        let snapshots = Arc::clone(self);
        let started = PATHS.run(move || snapshots.start_hook()).await;
        let result = match started.and_then(|started| started) {
            Ok(started) => started?.result(self.limits.save_hook_timeout_ms.value).await,
            Err(e) => Err(e),
        };
        let failed = |e: io::Error| HookResult {
            exit_code: 126,
            output: e.to_string(),
            ..HookResult::default()
        };
        Some(result.unwrap_or_else(failed))
    }

    /// Starts it. `None`: there is no file of this name that can be executed. It blocks.
    fn start_hook(&self) -> io::Result<Option<Started>> {
        let workspace = &self.archives.path;
        if !is_executable(&workspace.join(PROGRAM)) {
            return Ok(None);
        }
        let mut env = Variables::clone(&self.user.env.current());
        let cookie = random_id()?;
        env.insert(COOKIE.into(), (&cookie).into());
        let argv = [PROGRAM.to_owned()];
        let refused = |e: ShellError| io::Error::other(e.message);
        let program = Program::resolve(&argv, &path_of(&env), workspace).map_err(refused)?;
        let cwd = Directory::existing(workspace.clone());
        let (output, input) = io::pipe()?;
        let null = File::open("/dev/null")?;
        let ids = self.user.ids.as_ref();
        let start = Start {
            program: &program,
            cwd: &cwd,
            env: &env,
            role: Role::Command {
                ids,
                limits: &self.limits,
            },
            umask: None,
            descriptors: &[],
            controls_terminal: false,
            is_cancelled: &|| false,
        };
        let spawn = |start: &Start<'_>| {
            start.spawn(
                [null.as_fd(), input.as_fd(), input.as_fd()],
                Arc::clone(&self.children),
            )
        };
        let child = match spawn(&start) {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NOEXEC) => {
                let script = program.as_script(workspace).map_err(refused)?;
                spawn(&Start {
                    program: &script,
                    ..start
                })
            }
            child => child,
        }?;
        Ok(Some(Started {
            tree: Tree::for_command(child.pid(), &cookie, ids.cloned()),
            child,
            output: pipe::Receiver::from_owned_fd(output.into())?,
        }))
    }
}

impl Started {
    async fn result(mut self, limit_ms: u64) -> io::Result<HookResult> {
        let mut tail = Tail::new(OUTPUT);
        let limit = Duration::from_millis(limit_ms);
        let ends = async {
            tokio::select! {
                () = self.child.ended() => {}
                // Its output may end before it does.
                () = read_all(&mut self.output, &mut tail) => self.child.ended().await,
            }
        };
        let is_late = timeout(limit, ends).await.is_err();
        let status = self.child.status();
        // Before the leader is reaped: its id names the tree.
        let tree = self.tree;
        let _ = PROCESSES.run(move || tree.kill()).await;
        let reaped = PROCESSES.run(move || self.child.reap()).await;
        let _ = timeout(OUTPUT_TIMEOUT, read_all(&mut self.output, &mut tail)).await;
        let exit = match status {
            Some(status) => ended(status),
            None => timed_out(reaped.and_then(|status| status).ok()),
        };
        Ok(HookResult {
            exit_code: exit.exit_code,
            timed_out: is_late,
            output: tail.text(),
        })
    }
}

/// Reads the output to its end.
async fn read_all(output: &mut pipe::Receiver, tail: &mut Tail) {
    let mut chunk = Vec::with_capacity(OUTPUT);
    while output.read_buf(&mut chunk).await.is_ok_and(|read| read > 0) {
        tail.push(&chunk);
        chunk.clear();
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
