//! Commands.
//!
//! # Theory of operation
//!
//! [`exec`] checks a request, finds the [`program`] and [spawns](spawn) it with pipes, as the leader of a process group
//! of its own. From then on one [`task`] owns the command. It does three things: it forwards [`output`] to the client,
//! it waits for what ends the command first (itself, its timeout, its client leaving), and it ends the command's
//! [`tree`] in the two latter cases. It never waits for one of them to be able to do the other.
//!
//! Between the task and the client's connection is a channel of a few finished pieces of the [`stream`]. It is the whole
//! flow control: when it is full, the task reads no output, the pipes fill up and the command waits; when the client
//! leaves, it closes.
//!
//! The end of a command is the end of its first process. What that had written by then comes before the `exit`
//! event; what its children in the background write later is thrown away, without ever making them wait.

pub mod output;
pub mod program;
pub mod refusal;
pub mod scan;
pub mod spawn;
pub mod status;
pub mod stdin;
pub mod stream;
pub mod task;
pub mod text;
pub mod tree;
pub mod watched;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use rustix::io::Errno;
use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::{ErrorBody, Event, ExecRequest, Invalid};
use tokio::sync::mpsc::{self, Sender};

use self::output::Outputs;
use self::program::Program;
use self::refusal::Refusal;
use self::spawn::{Start, Started};
use self::stream::EventStream;
use self::task::Task;
use self::tree::{COOKIE, Tree};
use crate::activity::{Occupation, Tracker};
use crate::pid1::Children;
use crate::{Config, Error, body};

/// How many reads of output may wait for the client's connection.
const EVENTS_AHEAD: usize = 2;

/// What commands have in common.
#[derive(Debug)]
pub struct Processes {
    config: Config,
    children: Arc<Children>,
    tracker: Arc<Tracker>,
    last_cookie: AtomicU64,
}

impl Processes {
    /// Runs commands as `config` says, enters them in `children` and counts them in `tracker`.
    pub fn new(config: Config, children: Arc<Children>, tracker: Arc<Tracker>) -> Self {
        Self {
            config,
            children,
            tracker,
            last_cookie: AtomicU64::new(0),
        }
    }

    /// The directory that a command starts in. Fails when there is none.
    fn directory(&self, request: &ExecRequest) -> Result<PathBuf, Error> {
        let directory = self.config.workspace.join(request.cwd.relative());
        if !directory.is_dir() {
            return Err(Invalid::request(format!("cwd is not a directory: {}", request.cwd.as_str())).into());
        }
        Ok(directory)
    }

    /// A value of [`COOKIE`] that no other command of this machine has.
    fn new_cookie(&self) -> String {
        let number = self.last_cookie.fetch_add(1, Relaxed) + 1;
        format!("{}.{number}", self.config.instance)
    }

    fn env(&self, request: &ExecRequest, cookie: &str) -> BTreeMap<OsString, OsString> {
        let mut env = self.config.user.env.clone();
        env.extend(
            request
                .env
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        // Last: it is how the command's processes are found.
        env.insert(COOKIE.into(), cookie.into());
        env
    }
}

/// `POST /exec`: runs a command and streams what comes of it. Errors are those of the request. A program that cannot be
/// executed is a stream with the words and the code of a shell; when the kernel cannot start anything, the stream has an
/// `error` event.
pub async fn exec(
    State(processes): State<Arc<Processes>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let body = body::read(&headers, body, MAX_BODY).await?;
    let mut request = ExecRequest::parse(&body)?;
    drop(body);
    let stdin = request.stdin.take();
    let cwd = processes.directory(&request)?;
    let cookie = processes.new_cookie();
    let env = processes.env(&request, &cookie);
    let (events, stream) = mpsc::channel(EVENTS_AHEAD);
    let launch = Launch {
        request,
        cwd,
        env,
        cookie,
        stdin,
    };
    // The head of the response travels while the program is started.
    tokio::spawn(launch.run(processes, events));
    Ok(stream::response(Body::new(EventStream::new(stream))))
}

/// A command to start.
struct Launch {
    request: ExecRequest,
    cwd: PathBuf,
    env: BTreeMap<OsString, OsString>,
    cookie: String,
    stdin: Option<Vec<u8>>,
}

impl Launch {
    /// Runs the command to its end, or says why it cannot be run.
    async fn run(self, processes: Arc<Processes>, events: Sender<Bytes>) {
        let wire = match self.start(&processes, events.clone()) {
            Ok(task) => {
                // The task has a sender of its own, and the stream ends with the last one.
                drop(events);
                return task.run().await;
            }
            Err(Unstarted::Refused(refusal)) => refusal.into_wire(),
            Err(Unstarted::Failed(e)) => {
                let error = Error::Exec(e);
                let mut wire = Vec::new();
                Event::Error(ErrorBody::new(error.parts().1, error.to_string())).write_to(Some(1), &mut wire);
                wire
            }
        };
        // An error says that the client is gone, and with it whoever wanted to know.
        let _ = events.send(wire.into()).await;
    }

    /// Starts the program, by a shell if it is a script that names no interpreter.
    fn start(self, processes: &Processes, events: Sender<Bytes>) -> Result<Task, Unstarted> {
        let path = self
            .env
            .get(OsStr::new("PATH"))
            .map(|path| path.to_string_lossy());
        let program = Program::resolve(&self.request.argv, path.as_deref().unwrap_or_default(), &self.cwd)?;
        let start = Start {
            program: &program,
            cwd: &self.cwd,
            env: &self.env,
            ids: processes.config.user.ids.as_ref(),
            piped_stdin: self.stdin.is_some(),
        };
        let mut spawned = start.spawn(Arc::clone(&processes.children));
        if let Err(e) = &spawned
            && Errno::from_io_error(e) == Some(Errno::NOEXEC)
        {
            let script = program.as_script(&self.cwd)?;
            spawned = Start {
                program: &script,
                ..start
            }
            .spawn(Arc::clone(&processes.children));
        }
        let name = self.request.argv.first().map_or("", String::as_str);
        let started = spawned.map_err(|e| match Refusal::of_kernel(name, &e) {
            Some(refusal) => Unstarted::Refused(refusal),
            None => Unstarted::Failed(e),
        })?;
        self.supervise(processes, started, events)
            .map_err(Unstarted::Failed)
    }

    /// The task of a command that was started.
    fn supervise(self, processes: &Processes, started: Started, events: Sender<Bytes>) -> io::Result<Task> {
        spawn::enlarge(&started.stdout);
        let ids = processes.config.user.ids.clone();
        let task = Task {
            tree: Tree::of_command(started.child.pid(), &self.cookie, ids),
            child: started.child,
            outputs: Outputs::new(started.stdout, started.stderr, events)?,
            timeout: self
                .request
                .timeout_ms
                .map(|limit| Duration::from_millis(limit.get())),
            detached: self.request.detached,
            busy: processes.tracker.begin(Occupation::Command),
        };
        if let (Some(pipe), Some(bytes)) = (started.stdin, self.stdin) {
            stdin::feed(pipe, bytes)?;
        }
        Ok(task)
    }
}

/// Why a command was not started.
enum Unstarted {
    /// Its program cannot be executed.
    Refused(Refusal),
    /// The kernel could not start anything.
    Failed(io::Error),
}

impl From<Refusal> for Unstarted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
