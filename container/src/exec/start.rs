//! Reads the request of a command and starts it.

use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use futures_util::FutureExt as _;
use sandbox_protocol::exec::MAX_BODY;
use sandbox_protocol::session::SESSION_HEADER;
use sandbox_protocol::{ExecRequest, Invalid, SessionId};
use tokio::time::{Instant, timeout};

use super::event_log::OwnerKind;
use super::launch::Launch;
use super::process::{Process, Report};
use super::reader::Reader;
use super::registry::Entry;
use super::restart::Restart;
use super::{Admission, Commands, HEAD_TIMEOUT};
use crate::activity::{ActivityGuard, ActivityKind};
use crate::process::directory;
use crate::quota::{BufferPermit, Buffers};
use crate::session::overrides::Overrides;
use crate::{Config, Error, body};

/// A request that was read.
pub(super) struct Received {
    pub(super) request: ExecRequest,
    /// Identifies the request, if it names an id.
    fingerprint: Option<u64>,
    /// The permit for the bytes of the request.
    buffer_permit: BufferPermit,
    own: OwnCommand,
    /// The request itself, if its process is to be started again.
    restart: Option<Restart>,
}

/// The parts of a command of `sandboxd` itself that no request has.
#[derive(Debug, Default)]
pub struct OwnCommand {
    /// Descriptors that it inherits, and their numbers.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
    /// Makes the event before its last one.
    pub report: Option<Report>,
}

impl Commands {
    /// Reads the body of a request. Errors: 400, 403, 413, 503 when the buffers are full.
    pub(super) async fn receive(&self, headers: &HeaderMap, body: Body) -> Result<Received, Error> {
        let parse = |body: &[u8]| {
            let request = ExecRequest::parse(body)?;
            let session = headers.get(SESSION_HEADER).map(|id| id.as_bytes());
            let fingerprint = request.id.as_ref();
            let fingerprint = fingerprint.map(|_| self.registry.fingerprint(body, session));
            let restart = request.restart.then(|| body.to_vec());
            Ok((request, fingerprint, restart))
        };
        let read = body::read_parsed(headers, body, MAX_BODY, &self.buffers, parse);
        let ((request, fingerprint, restart), buffer_permit) = read.await?;
        Ok(Received {
            request,
            fingerprint,
            buffer_permit,
            own: OwnCommand::default(),
            restart: restart
                .map(|body| Restart::new(&body, &self.buffers))
                .transpose()?,
        })
    }

    /// Starts a command of `sandboxd` itself for a client, which is the owner of its log. Error: 503
    /// when the limit of commands is reached.
    pub async fn start_own(
        self: &Arc<Self>,
        request: ExecRequest,
        own: OwnCommand,
    ) -> Result<(Arc<Process>, Reader), Error> {
        let received = Received {
            request,
            fingerprint: None,
            buffer_permit: BufferPermit::default(),
            own,
            restart: None,
        };
        let connect = |process: &Arc<Process>| Reader::owner(&process.log, 0, OwnerKind::Client);
        self.start(&HeaderMap::new(), received, Kind::Command, connect)
            .await
    }

    /// Starts the process of a request, unless the same request has started it before. `connect`
    /// makes what its client holds, before the process can end for want of a client. Errors: those of the request, and 503 when the limit of
    /// commands that run or wait is reached; nothing was started then.
    pub(super) async fn start<T>(
        self: &Arc<Self>,
        headers: &HeaderMap,
        received: Received,
        kind: Kind,
        connect: impl Fn(&Arc<Process>) -> T,
    ) -> Result<(Arc<Process>, T), Error> {
        let Received {
            mut request,
            fingerprint,
            buffer_permit,
            own,
            restart,
        } = received;
        if let Some(process) = self.registry.existing(&request, fingerprint)? {
            let held = connect(&process);
            return Ok((process, held));
        }
        let cwd = request.cwd.take();
        let overrides = Overrides {
            cwd: cwd
                .as_ref()
                .map(|cwd| directory::resolve(&self.config.workspace, cwd)),
            env: std::mem::take(&mut request.env)
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        };
        let arrived = Instant::now();
        // Commands that wait for their turn count as well.
        let permit = self.running.take()?;
        let permit = match (&cwd, &overrides.cwd) {
            (Some(cwd), Some(directory)) => self.admit(permit, directory.clone(), cwd).await?,
            _ => Admission::Granted(permit),
        };
        let session = self.sessions.for_request(headers).await?;
        let takes_turn = kind == Kind::Command;
        let usual_timeout = session
            .as_ref()
            .filter(|_| takes_turn)
            .and_then(|session| session.timeout_ms());
        let deadline = request
            .timeout_ms
            .or(usual_timeout)
            .and_then(|limit| arrived.checked_add(Duration::from_millis(limit.get())));
        let position = match (&permit, &session) {
            (Admission::Granted(_), Some(session)) if takes_turn => Some(session.enqueue().await?),
            // The other commands of the session do not wait for this one's directory.
            _ => None,
        };
        let session_id: Option<SessionId> = session.as_ref().map(|session| session.id().clone());
        if kind == Kind::Process {
            // Its log has no owner that could come back.
            request.linger_ms = 0;
        }
        let (process, controls) = match self.registry.enter(&request, fingerprint, session_id)? {
            Entry::New(process, controls) => (process, controls),
            Entry::Existing(process) => {
                let held = connect(&process);
                return Ok((process, held));
            }
        };
        if let Some(report) = own.report {
            process.set_report(report);
        }
        if let Some(restart) = restart.filter(|_| kind == Kind::Process) {
            process.set_restart(restart);
        }
        let held = connect(&process);
        let linger = match kind {
            Kind::Command if !request.detached => Some(Duration::from_millis(request.linger_ms)),
            _ => None,
        };
        let launch = Launch {
            stdin: request.stdin.take(),
            deadline,
            activity: request
                .keep_awake
                .then(|| self.tracker.begin(ActivityKind::Command)),
            linger,
            request,
            overrides,
            buffer_permit,
            permit,
            session,
            takes_turn,
            position,
            process: Arc::clone(&process),
            controls,
            descriptors: own.descriptors,
        };
        // The program is started while the head of the response is on its way.
        let mut run = Box::pin(launch.run(Arc::clone(self)));
        if (&mut run).now_or_never().is_none() {
            tokio::spawn(run);
        }
        Ok((process, held))
    }

    /// Starts the process of a request that does not depend on its client. Returns once its program
    /// was started or could not be, or after [`HEAD_TIMEOUT`]; and whether the same request has
    /// started it before.
    pub async fn start_process(
        self: &Arc<Self>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Arc<Process>, bool), Error> {
        let received = self.receive(headers, body).await?;
        if received.restart.is_some() && headers.contains_key(SESSION_HEADER) {
            // Sessions end with their boot.
            return Err(Invalid::request("restart and Session-Id cannot both be set").into());
        }
        let existing = self.registry.existing(&received.request, received.fingerprint)?;
        let (process, ()) = self.start(headers, received, Kind::Process, |_| ()).await?;
        let _ = timeout(HEAD_TIMEOUT, process.settled()).await;
        Ok((process, existing.is_some()))
    }

    /// Starts a process of `sandboxd` itself that does not depend on a client. Error: 503 when the limit of
    /// commands is reached.
    pub async fn start_background(self: &Arc<Self>, request: ExecRequest) -> Result<Arc<Process>, Error> {
        let received = Received {
            request,
            fingerprint: None,
            buffer_permit: BufferPermit::default(),
            own: OwnCommand::default(),
            restart: None,
        };
        let headers = HeaderMap::new();
        let started = self.start(&headers, received, Kind::Process, |_| ());
        Ok(started.await?.0)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Counts a command until the guard is dropped.
    pub fn count_command(&self) -> ActivityGuard {
        self.tracker.begin(ActivityKind::Command)
    }

    /// Counts a request until the guard is dropped.
    pub fn count_request(&self) -> ActivityGuard {
        self.tracker.begin(ActivityKind::Request)
    }

    /// The buffers that commands share.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// The directory of commands without another one.
    pub fn workspace(&self) -> String {
        self.config.workspace.to_string_lossy().into_owned()
    }
}

/// The kind of process that a request starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A command, which takes its turn in its session and ends with its client.
    Command,
    /// A process, which does neither.
    Process,
}
