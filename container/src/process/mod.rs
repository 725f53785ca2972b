//! Commands.
//!
//! # Theory of operation
//!
//! [`exec`] checks a request, waits for its turn if it is one of a [`session`](crate::session), finds the [`program`] and
//! [spawns](spawn) it with pipes, as the leader of a process group of its own. From then on one [`task`] owns the command. It does three things: it forwards [`output`] to the client,
//! it waits for what ends the command first (itself, its timeout, its client leaving), and it ends the command's
//! [`tree`] in the two latter cases. It never waits for one of them to be able to do the other.
//!
//! Between the task and the client's connection is a channel of a few finished pieces of the [`stream`]. It is the whole
//! flow control: when it is full, the task reads no output, the pipes fill up and the command waits; when the client
//! leaves, it closes.
//!
//! The end of a command is the end of its first process. What that had written by then comes before the `exit`
//! event; what its children in the background write later is thrown away, without ever making them wait.

pub mod image;
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
use sandbox_protocol::{ErrorBody, Event, ExecRequest, Invalid, WorkspacePath};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, sleep_until};

use self::output::Outputs;
use self::program::Program;
use self::refusal::Refusal;
use self::spawn::{Role, Start, Started};
use self::stream::EventStream;
use self::task::Task;
use self::tree::{COOKIE, Tree};
use crate::activity::{Busy, Occupation, Tracker};
use crate::pid1::Children;
use crate::quota::{Buffers, Permit, Quota, Room};
use crate::session::directory::Directory;
use crate::session::prepare::{OnTop, Prepared, path_of};
use crate::session::turn::{Place, Turn};
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

/// A command to start.
struct Launch {
    request: ExecRequest,
    on_top: OnTop,
    stdin: Option<Vec<u8>>,
    /// When its time is over.
    over: Option<Instant>,
    busy: Busy,
    /// That of all that came in the request.
    room: Room,
    permit: Permit,
}

impl Launch {
    /// Runs the command to its end, or says why it cannot be run.
    async fn run(self, processes: Arc<Processes>, place: Option<Place>, events: Sender<Bytes>) {
        let turn = match place {
            Some(place) => self.turn(place, &events).await.map(Some),
            None => Ok(None),
        };
        let started = turn.and_then(|turn| self.start(&processes, turn, events.clone()));
        let wire = match started {
            Ok(task) => {
                // The task has a sender of its own, and the stream ends with the last one.
                drop(events);
                return task.run().await;
            }
            Err(unstarted) => unstarted.into_wire(),
        };
        // An error says that the client is gone, and with it whoever wanted to know.
        let _ = events.send(wire.into()).await;
    }

    /// Waits until the earlier commands of the session have ended.
    async fn turn(&self, place: Place, events: &Sender<Bytes>) -> Result<Turn, Unstarted> {
        let id = place.session().id().to_string();
        let deleted = place.session().deleted();
        let expired = async {
            match self.over {
                Some(over) => sleep_until(over).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = deleted => Err(Unstarted::Deleted(id)),
            turn = place.turn() => Ok(turn),
            () = expired => Err(Unstarted::Refused(Refusal::timed_out(&id))),
            () = events.closed(), if !self.request.detached => Err(Unstarted::Deleted(id)),
        }
    }

    /// Starts the program, by a shell if it is a script that names no interpreter.
    fn start(
        mut self,
        processes: &Processes,
        mut turn: Option<Turn>,
        events: Sender<Bytes>,
    ) -> Result<Task, Unstarted> {
        let on_top = std::mem::take(&mut self.on_top);
        let mut prepared = match &turn {
            Some(turn) => turn
                .session()
                .prepare(&self.request.argv, &on_top)
                .map_err(Unstarted::Failed)?,
            None => processes.prepare(&self.request.argv, on_top),
        };
        let cookie = processes.new_cookie();
        // Last: it is how the command's processes are found.
        prepared.env.insert(COOKIE.into(), (&cookie).into());
        let cwd = prepared.directory.path();
        let program = Program::resolve(&prepared.argv, &path_of(&prepared.env), cwd)?;
        let start = Start {
            program: &program,
            cwd,
            env: &prepared.env,
            role: Role::Command {
                ids: processes.config.user.ids.as_ref(),
                limits: &processes.config.limits,
            },
            piped_stdin: self.stdin.is_some(),
            files: prepared.files.as_ref(),
        };
        let mut spawned = start.spawn(Arc::clone(&processes.children));
        if let Err(e) = &spawned
            && Errno::from_io_error(e) == Some(Errno::NOEXEC)
        {
            let script = program.as_script(cwd)?;
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
        if let Some(turn) = &mut turn {
            turn.files = prepared.files.take();
        }
        self.supervise(processes, started, &cookie, turn, events)
            .map_err(Unstarted::Failed)
    }

    /// The task of a command that was started.
    fn supervise(
        mut self,
        processes: &Processes,
        started: Started,
        cookie: &str,
        turn: Option<Turn>,
        events: Sender<Bytes>,
    ) -> io::Result<Task> {
        let ids = processes.config.user.ids.clone();
        let task = Task {
            tree: Tree::of_command(started.child.pid(), cookie, ids),
            child: started.child,
            outputs: Outputs::new(started.stdout, started.stderr, events, processes.buffers.clone())?,
            over: self.over,
            detached: self.request.detached,
            busy: self.busy,
            turn,
            permit: self.permit,
            in_background: processes.in_background.clone(),
        };
        if let (Some(pipe), Some(bytes)) = (started.stdin, self.stdin) {
            self.room.shrink(bytes.len() as u64);
            stdin::feed(pipe, bytes, self.room)?;
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
    /// Its session was deleted before its turn came.
    Deleted(String),
}

impl Unstarted {
    /// The events that say it, on the wire.
    fn into_wire(self) -> Vec<u8> {
        let error = match self {
            Self::Refused(refusal) => return refusal.into_wire(),
            Self::Failed(e) => Error::Exec(e),
            Self::Deleted(id) => {
                Error::Session(format!("session {id} was deleted before the command was started"))
            }
        };
        let mut wire = Vec::new();
        Event::Error(ErrorBody::new(error.parts().1, error.to_string())).write_to(Some(1), &mut wire);
        wire
    }
}

impl From<Refusal> for Unstarted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
