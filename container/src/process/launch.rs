//! From a request to a command that runs.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use sandbox_protocol::{ErrorBody, Event, ExecRequest};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::output::Outputs;
use super::program::Program;
use super::refusal::Refusal;
use super::spawn::{Role, Start, Started};
use super::task::{Task, expired};
use super::tree::{COOKIE, Tree};
use super::{Processes, stdin};
use crate::Error;
use crate::activity::Busy;
use crate::quota::{Permit, Room};
use crate::session::prepare::{OnTop, path_of};
use crate::session::turn::{Place, Turn};

/// A command to start.
pub struct Launch {
    /// What is asked for, less what the fields below have of it.
    pub request: ExecRequest,
    /// The directory and the environment of it.
    pub on_top: OnTop,
    /// What it reads.
    pub stdin: Option<Vec<u8>>,
    /// When its time is over.
    pub over: Option<Instant>,
    /// Counts it from now on.
    pub busy: Busy,
    /// That of all that came in the request.
    pub room: Room,
    /// Its place among those that run.
    pub permit: Permit,
}

impl Launch {
    /// Runs the command to its end, or says why it cannot be run.
    pub async fn run(self, processes: Arc<Processes>, place: Option<Place>, events: Sender<Bytes>) {
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
        tokio::select! {
            biased;
            () = deleted => Err(Unstarted::Deleted(id)),
            turn = place.turn() => Ok(turn),
            () = expired(self.over) => Err(Unstarted::Refused(Refusal::timed_out(&id))),
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
