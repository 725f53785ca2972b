//! Commands.
//!
//! # Theory of operation
//!
//! [`exec`] checks a request, waits for its turn if it is one of a [`session`](crate::session),
//! finds the program and [launches](launch) it with pipes, as the leader of a process group of its
//! own. From then on one [`task`] owns the command. It does three things: it writes [`output`] to
//! the command's [log](event_log), it waits for the first event that ends the command (its exit, its
//! timeout, its client leaving), and it ends the command's process tree in the two latter cases.
//! None of the three waits for another.
//!
//! Every command is a [`process`]: it has an id in the [`registry`], which keeps its log and its
//! exit after its end. A client's connection is a [`reader`] of the log.
//!
//! The end of a command is the end of its first process. The output that it had written by then
//! comes before the `exit` event; output that its background processes write later is discarded,
//! without ever making them wait.

pub mod budget;
pub mod disconnect;
pub mod ending;
pub mod event_log;
pub mod excerpt;
pub mod launch;
pub mod output;
pub mod process;
pub mod reader;
pub mod registry;
pub mod restart;
pub mod result;
pub mod start;
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
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sandbox_protocol::exec::PROCESS_HEADER;
use sandbox_protocol::process::since;
use sandbox_protocol::{Invalid, WorkspacePath};
use tokio::time::timeout;

use self::event_log::OwnerKind;
use self::process::Process;
use self::reader::Reader;
use self::registry::Registry;
use self::start::Kind;
use crate::activity::Tracker;
use crate::environment::Variables;
use crate::process::children::Children;
use crate::process::directory::Directory;
use crate::quota::{Buffers, Permit, Quota};
use crate::request_headers::last_event_id;
use crate::session::Sessions;
use crate::session::overrides::Overrides;
use crate::session::prepare::Prepared;
use crate::threads::PATHS;
use crate::{Config, Error};

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

/// The state that all commands share.
#[derive(Debug)]
pub struct Commands {
    config: Arc<Config>,
    children: Arc<Children>,
    tracker: Arc<Tracker>,
    sessions: Arc<Sessions>,
    last_cookie: AtomicU64,
    running: Quota,
    held_pipes: Quota,
    buffers: Buffers,
    /// Every command, as a process.
    pub registry: Arc<Registry>,
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
            held_pipes: Quota::new("outputs of background processes", limits.max_background_outputs),
            registry: Arc::new(Registry::new(
                buffers.clone(),
                limits.max_buffer_bytes,
                config.instance.clone(),
            )),
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
        let mut env = Variables::clone(&self.config.user.env.current());
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

/// `POST /exec`: runs a command and streams its events, or answers with its result. Errors: those of
/// [`Commands::start`]. For a program that cannot be executed, the stream has the message and the
/// exit code of a shell; when the kernel cannot start anything, it has an `error` event.
pub async fn exec(
    State(commands): State<Arc<Commands>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let mut received = commands.receive(&headers, body).await?;
    let mut cursor = 0;
    if let Some(id) = &received.request.id {
        let last_event_id = last_event_id(&headers);
        cursor = since("", last_event_id.as_deref())?;
        if cursor > 0 {
            // Its client continues a stream. Without the process, the command would run again.
            commands.registry.find(id.as_str())?.log.check_cursor(cursor)?;
            received.request.replace = false;
        }
    }
    let connect = |process: &Arc<Process>| Reader::owner(&process.log, cursor, OwnerKind::Client);
    let (process, reader) = commands.start(&headers, received, Kind::Command, connect).await?;
    let mut response = if result::is_wanted(&headers) {
        result::response(Arc::clone(&process), reader).await
    } else {
        stream::response(reader.into_body())
    };
    if let Ok(id) = HeaderValue::from_str(process.id.as_str()) {
        response.headers_mut().insert(PROCESS_HEADER, id);
    }
    Ok(response)
}
