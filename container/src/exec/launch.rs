//! Starts the command of a request.

use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustix::io::Errno;
use sandbox_protocol::ExecRequest;
use tokio::time::Instant;

use super::disconnect::probe_waiting;
use super::output::Outputs;
use super::process::{Controls, Process};
use super::task::Task;
use super::unstarted::{Unstarted, Wait};
use super::{Admission, Commands, stdin};
use crate::activity::ActivityGuard;
use crate::process::program::Program;
use crate::process::program::path_of;
use crate::process::shell_error::{NOT_FOUND, ShellError};
use crate::process::spawn::{Role, Start, Started};
use crate::process::tree::{COOKIE, Tree};
use crate::quota::{BufferPermit, Permit};
use crate::session::Session;
use crate::session::files::ShellFiles;
use crate::session::overrides::Overrides;
use crate::session::prepare::Prepared;
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
    /// Counts the command from now on, if it is counted.
    pub activity: Option<ActivityGuard>,
    /// The time for which it goes on without an owner of its log; `None`: always.
    pub linger: Option<Duration>,
    /// The permit for the bytes of the request.
    pub buffer_permit: BufferPermit,
    /// Its permit to run, granted once its directory was found.
    pub permit: Admission,
    /// Its session, if it has one.
    pub session: Option<Arc<Session>>,
    /// Whether it takes its turn in the session, and saves its changes there.
    pub takes_turn: bool,
    /// Its position in the session's queue. A command that has not been admitted yet has none.
    pub position: Option<QueuePosition>,
    /// The command as its clients see it.
    pub process: Arc<Process>,
    /// The requests of its clients.
    pub controls: Controls,
    /// Descriptors that it inherits, and their numbers.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
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
    /// Runs the command to its end, or writes the error that prevents it to its log.
    pub async fn run(self, commands: Arc<Commands>) {
        let process = Arc::clone(&self.process);
        let registry = Arc::clone(&commands.registry);
        match self.start(commands).await {
            Ok(task) => task.run().await,
            Err(unstarted) => {
                unstarted.report(&process);
                registry.ended(&process);
                process.end_supervision();
            }
        }
    }

    /// Starts the command once its directory was found and its turn has come.
    async fn start(self, commands: Arc<Commands>) -> Result<Task, Unstarted> {
        let Self {
            request,
            overrides,
            stdin,
            deadline,
            activity,
            linger,
            buffer_permit,
            permit,
            session,
            takes_turn,
            position,
            process,
            controls,
            descriptors,
        } = self;
        let wait = Wait {
            deadline,
            log: &process.log,
            linger,
            ending: &controls.ending,
            session: session.as_deref().filter(|_| takes_turn),
        };
        let timeout_message = "timed out before its working directory answered";
        let permit = match permit {
            Admission::Granted(permit) => permit,
            Admission::Pending(permit) => wait.for_result(permit, || timeout_message.to_owned()).await??,
        };
        let position = match (position, &session) {
            (None, Some(session)) if takes_turn => Some(session.enqueue().await?),
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
                        never = probe_waiting(&process.log) => match never {},
                    }
                };
                Some(wait.for_result(turn, timeout_message).await?)
            }
            None => None,
        };
        let stdin_open = request.stdin_open;
        let has_stdin = stdin.is_some() || stdin_open;
        let job = {
            let (commands, session) = (Arc::clone(&commands), session.clone());
            let described = Arc::clone(&process);
            move |is_cancelled: IsCancelled<'_>| {
                let command = Command {
                    request: &request,
                    session,
                    takes_turn,
                    overrides,
                    has_stdin,
                    process: &described,
                    descriptors,
                };
                let (started, tree, files) = command.launch(&commands, is_cancelled)?;
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
        let outputs = Outputs::new(stdout, stderr, Arc::clone(&process.log), commands.buffers.clone());
        let task = Task {
            tree: launched.tree,
            child,
            outputs: outputs.map_err(Unstarted::Failed)?,
            deadline,
            linger,
            activity,
            turn,
            permit: launched.permit,
            held_pipes: commands.held_pipes.clone(),
            process: Arc::clone(&process),
            controls,
            registry: Arc::clone(&commands.registry),
        };
        process.stdin.open(pipe).map_err(Unstarted::Failed)?;
        if has_stdin {
            let mut buffer_permit = launched.buffer_permit;
            buffer_permit.shrink(stdin.as_ref().map_or(0, Vec::len) as u64);
            let feed = async move {
                stdin::feed(&process.stdin, stdin, stdin_open, buffer_permit).await;
            };
            // Most pipes take everything at once.
            let mut feed = Box::pin(feed);
            if (&mut feed).now_or_never().is_none() {
                tokio::spawn(feed);
            }
        }
        Ok(task)
    }
}

/// A command that is being started.
struct Command<'a> {
    request: &'a ExecRequest,
    session: Option<Arc<Session>>,
    takes_turn: bool,
    overrides: Overrides,
    has_stdin: bool,
    process: &'a Process,
    descriptors: Vec<(OwnedFd, RawFd)>,
}

impl Command<'_> {
    /// The command line, directory and environment.
    fn prepare(&mut self, commands: &Commands) -> Result<Prepared, Unstarted> {
        let argv = &self.request.argv;
        let overrides = std::mem::take(&mut self.overrides);
        match &self.session {
            Some(session) if self.takes_turn => session.prepare(argv, &overrides),
            Some(session) => session.prepare_without_turn(argv, &overrides),
            None => Ok(commands.prepare(argv, overrides)),
        }
        .map_err(Unstarted::Failed)
    }

    /// Blocks. Fails when it is cancelled before the program starts.
    fn launch(
        mut self,
        commands: &Commands,
        is_cancelled: IsCancelled<'_>,
    ) -> Result<(Started, Tree, Option<ShellFiles>), Unstarted> {
        let mut prepared = self.prepare(commands)?;
        let cookie = commands.new_cookie();
        // Last, so that nothing overrides it: the command's processes are found by it.
        prepared.env.insert(COOKIE.into(), (&cookie).into());
        let cwd = prepared.directory.path();
        let path = path_of(&prepared.env);
        let mut argv = std::mem::take(&mut prepared.argv);
        let program = match Program::resolve(&argv, &path, cwd) {
            Err(e) if e.exit_code == NOT_FOUND && self.request.is_command_line => {
                if let Some(shell) = argv.first_mut() {
                    *shell = "sh".to_owned();
                }
                Program::resolve(&argv, &path, cwd)
            }
            program => program,
        }?;
        let ids = commands.config.user.ids.as_ref();
        let files = prepared.files.iter();
        let inherited = self.descriptors.iter();
        let inherited = inherited.map(|(descriptor, number)| (descriptor.as_fd(), *number));
        let descriptors: Vec<_> = files.flat_map(ShellFiles::descriptors).chain(inherited).collect();
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
        let mut spawned = start.spawn_with_pipes(self.has_stdin, Arc::clone(&commands.children));
        if let Err(e) = &spawned
            && Errno::from_io_error(e) == Some(Errno::NOEXEC)
        {
            let script = program.as_script(cwd)?;
            spawned = Start {
                program: &script,
                ..start
            }
            .spawn_with_pipes(self.has_stdin, Arc::clone(&commands.children));
        }
        let name = self.request.argv.first().map_or("", String::as_str);
        let started = spawned.map_err(|e| match ShellError::from_kernel(name, &e) {
            Some(error) => Unstarted::Shell(error),
            None => Unstarted::Failed(e),
        })?;
        let pid = started.child.pid();
        let tree = Tree::for_command(pid, &cookie, ids.cloned());
        let pid = u32::try_from(pid.as_raw_pid()).unwrap_or_default();
        self.process
            .launched(pid, cwd.to_string_lossy().into_owned(), &tree);
        Ok((started, tree, prepared.files.take()))
    }
}
