//! A command of `exec` that this program is attached to: its output and its end arrive here, this
//! program's input and signals go there.
//!
//! The command is a process under an id of its own. A request is sent again only to a process that
//! exists, so nothing runs twice. When the connection breaks, the command continues for
//! [`LINGER`], and the stream is continued behind its last event.

use std::time::Duration;

use reqwest::{Method, Response};
use sandbox_protocol::process::LAST_EVENT_ID_HEADER;
use sandbox_protocol::{ErrorCode, ProcessId, SandboxId, SessionId};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::error::{Error, Result};
use crate::events::Event;
use crate::follow::{Follower, LINGER};
use crate::http::{Bridge, backoff, new_process_id, retry_if_lost, send};
use crate::output::Outputs;
use crate::signals::{EndSignal, Signals};
use crate::stdin::Stdin;

/// The time that a command has to end after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// The longest time for the request that ends a command.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A command to run.
pub struct Attached<'a> {
    /// The bridge.
    pub bridge: &'a Bridge,
    /// The sandbox to run it in.
    pub sandbox: &'a SandboxId,
    /// The session to run it in.
    pub session: Option<&'a SessionId>,
    /// The body of `exec`, without the fields that are about the connection.
    pub body: Map<String, Value>,
    /// Whether the command gets this program's input.
    pub forwards_input: bool,
}

impl Attached<'_> {
    /// Runs the command, and returns its exit code.
    ///
    /// # Errors
    ///
    /// The command did not start, or its end is not known. In the second case it is ended.
    pub async fn run(mut self, signals: &mut Signals) -> Result<i32> {
        let id = new_process_id()?;
        let process = ProcessId::parse(&id).map_err(|e| Error::Usage(e.to_string()))?;
        self.body.insert("id".to_owned(), id.into());
        self.body
            .insert("linger_ms".to_owned(), (LINGER.as_millis() as u64).into());
        self.body
            .insert("stdin_open".to_owned(), self.forwards_input.into());
        let (opened, is_open) = oneshot::channel();
        let input = async {
            if self.forwards_input && is_open.await.is_ok() {
                Stdin::new(self.bridge, self.sandbox, &process).forward().await?;
            }
            // The end of the command is the end of everything.
            std::future::pending::<Result<i32>>().await
        };
        let output = self.output(&process, opened);
        tokio::pin!(input, output);
        let mut received: Option<(EndSignal, Instant)> = None;
        loop {
            let deadline = received.map_or_else(|| Instant::now() + GRACE, |(_, deadline)| deadline);
            tokio::select! {
                biased;
                signal = signals.next() => {
                    if received.is_some() || !self.signal(&process, signal).await {
                        self.end(&process).await;
                        return Err(Error::Signal(signal.number));
                    }
                    received = Some((signal, Instant::now() + GRACE));
                }
                result = &mut output => {
                    if let Err(error) = &result && !matches!(error, Error::Refused { status: 1.., .. } | Error::Unreachable(_)) {
                        self.end(&process).await;
                    }
                    return result;
                }
                result = &mut input => {
                    self.end(&process).await;
                    return result;
                }
                () = sleep_until(deadline), if received.is_some() => {
                    self.end(&process).await;
                    return Err(Error::Signal(received.map_or(0, |(signal, _)| signal.number)));
                }
            }
        }
    }

    /// Writes the output, and returns the exit code.
    async fn output(&self, process: &ProcessId, opened: oneshot::Sender<()>) -> Result<i32> {
        let mut attempts = Attempts::default();
        let mut follower = Follower::new(true, async |last_id: Option<&str>| {
            self.open(process, last_id, &mut attempts).await
        });
        let replaced = |error: Error| match error.has_code(ErrorCode::ProcessNotFound) {
            true => Error::Interrupted("the sandbox was replaced, and its processes are gone".to_owned()),
            false => error,
        };
        follower.start().await.map_err(replaced)?;
        // The input may have ended with the command.
        let _ = opened.send(());
        let mut outputs = Outputs::new();
        loop {
            match follower.next().await.map_err(replaced)? {
                Some(Event::Output(stream, bytes)) => outputs.write(stream, &bytes).await?,
                Some(Event::Exit(exit)) => return Ok(exit.exit_code),
                Some(Event::Gap(gap)) => {
                    let lost = format!("the events {} to {} of its output were lost", gap.first, gap.last);
                    return Err(Error::Interrupted(lost));
                }
                Some(Event::Other) => {}
                None => return Err(Error::Interrupted("its stream has no end".to_owned())),
            }
        }
    }

    async fn open(
        &self,
        process: &ProcessId,
        last_id: Option<&str>,
        attempts: &mut Attempts,
    ) -> Result<Response> {
        if attempts.is_sent && last_id.is_none() {
            self.find(process, if attempts.is_seen { 1 } else { 4 }).await?;
        }
        attempts.is_sent = true;
        let request = self.bridge.sandbox(Method::POST, self.sandbox, "/exec");
        let mut request = request.header("Accept", "text/event-stream").json(&self.body);
        if let Some(session) = self.session {
            request = request.header("Session-Id", session.to_string());
        }
        if let Some(id) = last_id {
            request = request.header(LAST_EVENT_ID_HEADER, id);
        }
        let response = send(request).await?;
        attempts.is_seen = true;
        Ok(response)
    }

    /// Looks for the process when the answer to its start was lost, and the start maybe, too.
    async fn find(&self, process: &ProcessId, tries: u32) -> Result<()> {
        for failures in 0..tries {
            let path = format!("/process/{process}");
            let found =
                retry_if_lost(async || send(self.bridge.sandbox(Method::GET, self.sandbox, &path)).await)
                    .await;
            match found {
                Err(error) if error.has_code(ErrorCode::ProcessNotFound) => {
                    sleep(backoff(failures + 2)).await
                }
                found => return found.map(drop),
            }
        }
        Err(Error::Interrupted(
            "the connection was lost, and the command is not there".to_owned(),
        ))
    }

    /// Sends a signal to the process. Returns whether it got it.
    async fn signal(&self, process: &ProcessId, signal: EndSignal) -> bool {
        let path = format!("/process/{process}/signal");
        let body = serde_json::json!({ "signal": signal.name });
        let request = self.bridge.sandbox(Method::POST, self.sandbox, &path).json(&body);
        match timeout(END_TIMEOUT, send(request)).await {
            // It has ended: its exit code is on the way.
            Ok(Err(error)) => error.has_code(ErrorCode::ProcessEnded),
            Ok(Ok(_)) => true,
            Err(_) => false,
        }
    }

    /// Ends the process, if it is there. If this fails, the bridge ends it after [`LINGER`].
    async fn end(&self, process: &ProcessId) {
        let path = format!("/process/{process}?grace_ms=0");
        let ended =
            retry_if_lost(async || send(self.bridge.sandbox(Method::DELETE, self.sandbox, &path)).await);
        let _ = timeout(END_TIMEOUT, ended).await;
    }
}

/// The requests that begin a command.
#[derive(Default)]
struct Attempts {
    /// One was sent.
    is_sent: bool,
    /// One was answered.
    is_seen: bool,
}
