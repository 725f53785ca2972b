//! Starts the command of a request.

use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use sandbox_protocol::ExecRequest;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::disconnect::probe_waiting;
use super::output::Outputs;
use super::task::Task;
use super::unstarted::{Unstarted, Wait};
use super::{Admission, Commands, stdin};
use crate::activity::ActivityGuard;
use crate::process::program::Program;
use crate::process::program::path_of;
use crate::process::shell_error::ShellError;
use crate::process::spawn::{Role, Start, Started};
use crate::process::tree::{COOKIE, Tree};
use crate::quota::{BufferPermit, Permit};
use crate::session::Session;
use crate::session::files::ShellFiles;
use crate::session::overrides::Overrides;
use crate::session::turn::QueuePosition;
use crate::threads::{IsCancelled, PATHS, PROCESSES};

/// A command to start.
pub struct Launch {
    /// The request, without the parts that the fields below hold.
    pub request: ExecRequest,
    /// The directory and the environment of the request.
    pub overrides: Overrides,
    /// The bytes for its standard input.
    pub stdin: Option<Vec<u8>>,
    /// The time at which it times out.
    pub deadline: Option<Instant>,
    /// Counts the command from now on.
    pub activity: ActivityGuard,
    /// The permit for the bytes of the request.
    pub buffer_permit: BufferPermit,
    /// Its permit to run, granted once its directory was found.
    pub permit: Admission,
    /// Its session, if it has one.
    pub session: Option<Arc<Session>>,
    /// Its position in the session's queue. A command that has not been admitted yet has none.
    pub position: Option<QueuePosition>,
}

/// A started command, with everything that its task needs.
struct Launched {
    started: Started,
    tree: Tree,
    /// The descriptors of its shell, if the shell saves a session's state.
    files: Option<ShellFiles>,
    buffer_permit: BufferPermit,
    permit: Permit,
}

/// A command without a task. Dropped, it is killed with every process that it has started.
struct Unsupervised(Option<Launched>);

impl Drop for Unsupervised {
    fn drop(&mut self) {
        if let Some(launched) = self.0.take() {
            PROCESSES.run_detached(move || {
                launched.tree.kill();
                // Last: it collects the leader, whose id names the tree.
                drop(launched);
            });
        }
    }
}

impl Launch {
    /// Runs the command to its end, or sends the error that prevents it.
    pub async fn run(self, commands: Arc<Commands>, events: Sender<Bytes>) {
        let wire = match self.start(commands, events.clone()).await {
            Ok(task) => {
                // The task has a sender of its own, and the stream ends when the last sender is
                // dropped.
                drop(events);
                return task.run().await;
            }
            Err(unstarted) => unstarted.into_wire(),
        };
        // Fails when the client is gone.
        let _ = events.send(wire.into()).await;
    }

    /// Starts the command once its directory was found and its turn has come.
    async fn start(self, commands: Arc<Commands>, events: Sender<Bytes>) -> Result<Task, Unstarted> {
        let Self {
            request,
            overrides,
            stdin,
            deadline,
            activity,
            buffer_permit,
            permit,
            session,
            position,
        } = self;
        let wait = Wait {
            deadline,
            client: (!request.detached).then_some(&events),
            session: session.as_deref(),
        };
        let timeout_message = "timed out before its working directory answered";
        let permit = match permit {
            Admission::Granted(permit) => permit,
            Admission::Pending(permit) => wait.for_result(permit, || timeout_message.to_owned()).await??,
        };
        let position = match (position, &session) {
            (None, Some(session)) => Some(session.enqueue().await?),
            (position, _) => position,
        };
        let mut turn = match position {
            Some(position) => {
                let id = position.session().id().to_string();
                let timeout_message =
                    || format!("timed out before the earlier commands of session {id} had ended");
                let turn = async {
                    tokio::select! {
                        turn = position.turn() => turn,
                        never = probe_waiting(&events) => match never {},
                    }
                };
                Some(wait.for_result(turn, timeout_message).await?)
            }
            None => None,
        };
        let (detached, piped_stdin) = (request.detached, stdin.is_some());
        let job = {
            let (commands, session) = (Arc::clone(&commands), session.clone());
            move |is_cancelled: IsCancelled<'_>| {
                let launched = launch(&commands, session, &request, overrides, piped_stdin, is_cancelled);
                let (started, tree, files) = launched?;
                Ok(Unsupervised(Some(Launched {
                    started,
                    tree,
                    files,
                    buffer_permit,
                    permit,
                })))
            }
        };
        let timeout_message = "timed out before the file system of its program or working directory answered";
        let launched = wait
            .for_result(PATHS.run_cancellable(job), || timeout_message.to_owned())
            .await?;
        let mut launched = launched.unwrap_or_else(|e| Err(Unstarted::Failed(e)))?;
        let Some(launched) = launched.0.take() else {
            return Err(Unstarted::Abandoned);
        };
        if let Some(turn) = &mut turn {
            turn.files = launched.files;
        }
        let Started {
            child,
            stdin: pipe,
            stdout,
            stderr,
        } = launched.started;
        let supervise = || {
            let task = Task {
                tree: launched.tree,
                child,
                outputs: Outputs::new(stdout, stderr, events.clone(), commands.buffers.clone())?,
                deadline,
                detached,
                activity,
                turn,
                permit: launched.permit,
                in_background: commands.in_background.clone(),
            };
            if let (Some(pipe), Some(bytes)) = (pipe, stdin) {
                let mut buffer_permit = launched.buffer_permit;
                buffer_permit.shrink(bytes.len() as u64);
                stdin::feed(pipe, bytes, buffer_permit)?;
            }
            Ok(task)
        };
        supervise().map_err(Unstarted::Failed)
    }
}

/// Starts the program of `request`, in a shell if it is a script without an interpreter line.
/// Blocks. Fails when it is cancelled before the program starts.
fn launch(
    commands: &Commands,
    session: Option<Arc<Session>>,
    request: &ExecRequest,
    overrides: Overrides,
    piped_stdin: bool,
    is_cancelled: IsCancelled<'_>,
) -> Result<(Started, Tree, Option<ShellFiles>), Unstarted> {
    let mut prepared = match session {
        Some(session) => session
            .prepare(&request.argv, &overrides)
            .map_err(Unstarted::Failed)?,
        None => commands.prepare(&request.argv, overrides),
    };
    let cookie = commands.new_cookie();
    // Last, so that nothing overrides it: the command's processes are found by it.
    prepared.env.insert(COOKIE.into(), (&cookie).into());
    let cwd = prepared.directory.path();
    let program = Program::resolve(&prepared.argv, &path_of(&prepared.env), cwd)?;
    let ids = commands.config.user.ids.as_ref();
    let files = prepared.files.iter();
    let descriptors: Vec<_> = files.flat_map(ShellFiles::descriptors).collect();
    let start = Start {
        program: &program,
        cwd: &prepared.directory,
        env: &prepared.env,
        role: Role::Command {
            ids,
            limits: &commands.config.limits,
        },
        umask: prepared.umask,
        descriptors: &descriptors,
        controls_terminal: false,
        is_cancelled,
    };
    let mut spawned = start.spawn_with_pipes(piped_stdin, Arc::clone(&commands.children));
    if let Err(e) = &spawned
        && Errno::from_io_error(e) == Some(Errno::NOEXEC)
    {
        let script = program.as_script(cwd)?;
        spawned = Start {
            program: &script,
            ..start
        }
        .spawn_with_pipes(piped_stdin, Arc::clone(&commands.children));
    }
    let name = request.argv.first().map_or("", String::as_str);
    let started = spawned.map_err(|e| match ShellError::from_kernel(name, &e) {
        Some(error) => Unstarted::Shell(error),
        None => Unstarted::Failed(e),
    })?;
    let tree = Tree::for_command(started.child.pid(), &cookie, ids.cloned());
    Ok((started, tree, prepared.files.take()))
}
