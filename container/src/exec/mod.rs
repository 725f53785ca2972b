//! Commands.
//!
//! # Theory of operation
//!
//! [`exec`] checks a request, waits for its turn if it is one of a [`session`](crate::session),
//! finds the program and [launches](launch) it as a [`process`](crate::process) with pipes, as the
//! leader of a process group of its own. From then on one [`task`] owns the command. It does three
//! things: it forwards [`output`] to the client, it waits for the first event that ends the command
//! (its exit, its timeout, its client leaving), and it ends the command's process tree in the two
//! latter cases. None of the three waits for another.
//!
//! A channel of a few finished pieces of the [`stream`] leads from the task to the client's
//! connection. It is the whole flow control: when it is full, the task reads no output, the pipes
//! fill up and the command waits; when the client leaves, it closes.
//!
//! The end of a command is the end of its first process. The output that it had written by then
//! comes before the `exit` event; output that its background processes write later is discarded,
//! without ever making them wait.

pub mod disconnect;
pub mod launch;
pub mod output;
pub mod stdin;
pub mod stream;
pub mod task;
mod unstarted;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::{ExecRequest, Invalid, WorkspacePath};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use self::launch::Launch;
use self::stream::EventStream;
use crate::activity::{ActivityKind, Tracker};
use crate::process::children::Children;
use crate::process::directory::{self, Directory};
use crate::quota::{Buffers, Permit, Quota};
use crate::session::Sessions;
use crate::session::overrides::Overrides;
use crate::session::prepare::Prepared;
use crate::threads::PATHS;
use crate::{Config, Error, body};

/// The number of reads of output that may wait for the client's connection.
const EVENTS_AHEAD: usize = 2;

/// The size from which on the permit of a body covers its parsed form, too, in bytes.
const SMALL_BODY: usize = 64 * 1024;

/// The longest time that the head of a response waits for the check of a request's `cwd`. Until
/// then a bad one is 400, later it is an `error` event. Clients take a silent response for a broken
/// one; a silent stream carries comments.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// A command's permit.
pub enum Admission {
    /// The command may start.
    Granted(Permit),
    /// Its directory has not been found yet.
    Pending(BoxFuture<'static, Result<Permit, Error>>),
}

/// The memory that a body takes while it is parsed, as a multiple of its size: itself, its strings,
/// and their decoded form.
const PARSE_FACTOR: u64 = 3;

/// The state that all commands share.
#[derive(Debug)]
pub struct Commands {
    config: Arc<Config>,
    children: Arc<Children>,
    tracker: Arc<Tracker>,
    sessions: Arc<Sessions>,
    last_cookie: AtomicU64,
    running: Quota,
    in_background: Quota,
    buffers: Buffers,
}

impl Commands {
    /// Runs commands as `config` says, enters them in `children`, counts them in `tracker` and
    /// finds their sessions in `sessions`. The bytes that they and their clients send are counted
    /// in `buffers`.
    pub fn new(
        config: Arc<Config>,
        children: Arc<Children>,
        tracker: Arc<Tracker>,
        sessions: Arc<Sessions>,
        buffers: Buffers,
    ) -> Self {
        let limits = config.limits;
        Self {
            running: Quota::new("commands at a time", limits.max_commands),
            in_background: Quota::new("outputs of background processes", limits.max_background_outputs),
            buffers,
            config,
            children,
            tracker,
            sessions,
            last_cookie: AtomicU64::new(0),
        }
    }

    /// Grants `permit` once `directory` was found, which a request calls `cwd`. Error: 400, it is
    /// not a directory. When that takes longer than [`HEAD_TIMEOUT`], the result is still pending.
    async fn admit(
        &self,
        permit: Permit,
        directory: PathBuf,
        cwd: &WorkspacePath,
    ) -> Result<Admission, Error> {
        let no_directory = Invalid::request(format!("cwd is not a directory: {cwd}"));
        let check = move || (permit, directory.is_dir());
        let mut admission = async {
            match PATHS.run(check).await.map_err(Error::Exec)? {
                (permit, true) => Ok(permit),
                (_, false) => Err(no_directory.into()),
            }
        }
        .boxed();
        match timeout(HEAD_TIMEOUT, &mut admission).await {
            Ok(permit) => Ok(Admission::Granted(permit?)),
            Err(_) => Ok(Admission::Pending(admission)),
        }
    }

    /// A unique value of [`COOKIE`].
    fn new_cookie(&self) -> String {
        let number = self.last_cookie.fetch_add(1, Relaxed) + 1;
        format!("{}.{number}", self.config.instance)
    }

    /// Prepares a command without a session.
    fn prepare(&self, argv: &[String], overrides: Overrides) -> Prepared {
        let mut env = self.config.user.env.clone();
        env.extend(overrides.env);
        let cwd = overrides.cwd.unwrap_or_else(|| self.config.workspace.clone());
        Prepared {
            argv: argv.to_vec(),
            directory: Directory::existing(cwd),
            env,
            umask: None,
            files: None,
        }
    }
}

/// `POST /exec`: runs a command and streams its events. Errors: those of the request, and 503 when
/// the limit of commands that run or wait is reached; nothing was started then. For a program that
/// cannot be executed, the stream has the message and the exit code of a shell; when the kernel
/// cannot start anything, it has an `error` event.
pub async fn exec(
    State(commands): State<Arc<Commands>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (body, mut buffer_permit) = body::read(&headers, body, MAX_BODY, &commands.buffers).await?;
    if body.len() > SMALL_BODY {
        commands
            .buffers
            .grow(&mut buffer_permit, body.len() as u64 * PARSE_FACTOR)?;
    }
    let mut request = ExecRequest::parse(&body)?;
    // The parsed request is no larger.
    buffer_permit.shrink(body.len() as u64);
    drop(body);
    let cwd = request.cwd.take();
    let overrides = Overrides {
        cwd: cwd
            .as_ref()
            .map(|cwd| directory::resolve(&commands.config.workspace, cwd)),
        env: std::mem::take(&mut request.env)
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    };
    let deadline = request
        .timeout_ms
        .and_then(|limit| Instant::now().checked_add(Duration::from_millis(limit.get())));
    // Commands that wait for their turn count as well.
    let permit = commands.running.take()?;
    let permit = match (&cwd, &overrides.cwd) {
        (Some(cwd), Some(directory)) => commands.admit(permit, directory.clone(), cwd).await?,
        _ => Admission::Granted(permit),
    };
    let session = commands.sessions.for_request(&headers).await?;
    let position = match (&permit, &session) {
        (Admission::Granted(_), Some(session)) => Some(session.enqueue().await?),
        // The other commands of the session do not wait for this one's directory.
        _ => None,
    };
    let (events, stream) = mpsc::channel(EVENTS_AHEAD);
    let launch = Launch {
        stdin: request.stdin.take(),
        deadline,
        activity: commands.tracker.begin(ActivityKind::Command),
        request,
        overrides,
        buffer_permit,
        permit,
        session,
        position,
    };
    // The program is started while the head of the response is on its way.
    let mut run = Box::pin(launch.run(commands, events));
    if (&mut run).now_or_never().is_none() {
        tokio::spawn(run);
    }
    Ok(stream::response(Body::new(EventStream::new(stream))))
}
