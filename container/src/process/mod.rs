//! Commands.
//!
//! # Theory of operation
//!
//! [`exec`] checks a request, waits for its turn if it is one of a [`session`](crate::session), finds the [`program`] and
//! [launches](launch) it with pipes, as the leader of a process group of its own. From then on one [`task`] owns the command.
//! It does three things: it forwards [`output`] to the client, it waits for what ends the command first (itself, its timeout,
//! its client leaving), and it ends the command's [`tree`] in the two latter cases. It never waits for one of them to be able
//! to do the other.
//!
//! Between the task and the client's connection is a channel of a few finished pieces of the [`stream`]. It is the whole
//! flow control: when it is full, the task reads no output, the pipes fill up and the command waits; when the client
//! leaves, it closes.
//!
//! The end of a command is the end of its first process. What that had written by then comes before the `exit`
//! event; what its children in the background write later is thrown away, without ever making them wait.

pub mod image;
pub mod launch;
mod look;
pub mod output;
pub mod pipe;
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

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::{ExecRequest, Invalid, WorkspacePath};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::launch::Launch;
use self::stream::EventStream;
use crate::activity::{Occupation, Tracker};
use crate::pid1::Children;
use crate::quota::{Buffers, Quota};
use crate::session::directory::Directory;
use crate::session::prepare::{OnTop, Prepared};
use crate::session::{self, Sessions};
use crate::{Config, Error, body};

/// How many reads of output may wait for the client's connection.
const EVENTS_AHEAD: usize = 2;

/// A body of more bytes takes room for what it is parsed into, too.
const SMALL_BODY: usize = 64 * 1024;

/// How many times its bytes a body takes while it is parsed: itself, its strings, and what they stand for.
const PARSED: u64 = 3;

/// What commands have in common.
#[derive(Debug)]
pub struct Processes {
    config: Arc<Config>,
    children: Arc<Children>,
    tracker: Arc<Tracker>,
    sessions: Arc<Sessions>,
    last_cookie: AtomicU64,
    running: Quota,
    in_background: Quota,
    buffers: Buffers,
}

impl Processes {
    /// Runs commands as `config` says, enters them in `children`, counts them in `tracker` and finds their sessions in
    /// `sessions`. What they and their clients send takes room in `buffers`.
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

    /// The directory that a request names for its command. Fails when there is none.
    fn directory(&self, cwd: &WorkspacePath) -> Result<PathBuf, Error> {
        let directory = session::directory::of_path(&self.config.workspace, cwd);
        if !directory.is_dir() {
            return Err(Invalid::request(format!("cwd is not a directory: {cwd}")).into());
        }
        Ok(directory)
    }

    /// A value of [`COOKIE`] that no other command of this machine has.
    fn new_cookie(&self) -> String {
        let number = self.last_cookie.fetch_add(1, Relaxed) + 1;
        format!("{}.{number}", self.config.instance)
    }

    /// What to start for a command without a session.
    fn prepare(&self, argv: &[String], on_top: OnTop) -> Prepared {
        let mut env = self.config.user.env.clone();
        env.extend(on_top.env);
        let cwd = on_top.cwd.unwrap_or_else(|| self.config.workspace.clone());
        Prepared {
            argv: argv.to_vec(),
            directory: Directory::existing(cwd),
            env,
            files: None,
        }
    }
}

/// `POST /exec`: runs a command and streams what comes of it. Errors are those of the request, and 503 when as many
/// commands run or wait as may: nothing was started then. A program that cannot be executed is a stream with the words and
/// the code of a shell; when the kernel cannot start anything, the stream has an `error` event.
pub async fn exec(
    State(processes): State<Arc<Processes>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (body, mut room) = body::read(&headers, body, MAX_BODY, &processes.buffers).await?;
    if body.len() > SMALL_BODY {
        processes.buffers.grow(&mut room, body.len() as u64 * PARSED)?;
    }
    let mut request = ExecRequest::parse(&body)?;
    // What was parsed is no larger.
    room.shrink(body.len() as u64);
    drop(body);
    let on_top = OnTop {
        cwd: request
            .cwd
            .as_ref()
            .map(|cwd| processes.directory(cwd))
            .transpose()?,
        env: std::mem::take(&mut request.env)
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    };
    // Those that wait for their turn count as well.
    let permit = processes.running.take()?;
    let place = match processes.sessions.of_request(&headers)? {
        Some(session) => Some(session.enqueue().await?),
        None => None,
    };
    let (events, stream) = mpsc::channel(EVENTS_AHEAD);
    let launch = Launch {
        stdin: request.stdin.take(),
        over: request
            .timeout_ms
            .and_then(|limit| Instant::now().checked_add(Duration::from_millis(limit.get()))),
        busy: processes.tracker.begin(Occupation::Command),
        request,
        on_top,
        room,
        permit,
    };
    // The head of the response travels while the program is started.
    tokio::spawn(launch.run(processes, place, events));
    Ok(stream::response(Body::new(EventStream::new(stream))))
}
