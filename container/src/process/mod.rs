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
use axum::response::{IntoResponse as _, Response};
use rustix::io::Errno;
use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::{ExecRequest, Invalid};
use tokio::sync::mpsc;

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

/// `POST /exec`: runs a command and streams what comes of it. Errors are those of the request, or of the kernel when
/// it cannot start anything; a program that cannot be executed is a stream with the words and the code of a shell.
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
    let path = env.get(OsStr::new("PATH")).map(|path| path.to_string_lossy());
    let program = match Program::resolve(&request.argv, path.as_deref().unwrap_or_default(), &cwd) {
        Ok(program) => program,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let start = Start {
        program: &program,
        cwd: &cwd,
        env: &env,
        ids: processes.config.user.ids.as_ref(),
        piped_stdin: stdin.is_some(),
    };
    let mut spawned = start.spawn(Arc::clone(&processes.children));
    if let Err(e) = &spawned
        && Errno::from_io_error(e) == Some(Errno::NOEXEC)
    {
        let script = match program.as_script(&cwd) {
            Ok(script) => script,
            Err(refusal) => return Ok(refusal.into_response()),
        };
        spawned = Start {
            program: &script,
            ..start
        }
        .spawn(Arc::clone(&processes.children));
    }
    let name = request.argv.first().map_or("", String::as_str);
    match spawned {
        Ok(started) => supervise(&processes, &request, started, &cookie, stdin).map_err(Error::Exec),
        Err(e) => Refusal::of_kernel(name, &e)
            .map(|refusal| refusal.into_response())
            .ok_or(Error::Exec(e)),
    }
}

/// Gives a command that was started its task, and its client the stream.
fn supervise(
    processes: &Processes,
    request: &ExecRequest,
    started: Started,
    cookie: &str,
    stdin: Option<Vec<u8>>,
) -> io::Result<Response> {
    let (events, stream) = mpsc::channel(EVENTS_AHEAD);
    spawn::enlarge(&started.stdout);
    let task = Task {
        tree: Tree::of_command(started.child.pid(), cookie, processes.config.user.ids.clone()),
        child: started.child,
        outputs: Outputs::new(started.stdout, started.stderr, events)?,
        timeout: request.timeout_ms.map(|limit| Duration::from_millis(limit.get())),
        detached: request.detached,
        busy: processes.tracker.begin(Occupation::Command),
    };
    if let (Some(pipe), Some(bytes)) = (started.stdin, stdin) {
        stdin::feed(pipe, bytes)?;
    }
    tokio::spawn(task.run());
    Ok(stream::response(Body::new(EventStream::new(stream))))
}
