//! A kernel that runs: a process of the registry, and the connections to it.
//!
//! One task reads what the kernel publishes. It goes to the run that is under way, and waits for it; what
//! comes between two runs, for example from a thread, goes to the log of the kernel's process.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use sandbox_protocol::ErrorBody;
use sandbox_protocol::event::{Exit, OutputStream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::folder::Folder;
use super::message::{Incoming, Key, Message, Messages};
use super::zmtp::Sender;
use crate::exec::process::Process;

/// The messages that wait for a run to take them. Each may be large, and counts in no other limit.
const MESSAGES_AHEAD: usize = 1;

/// A kernel.
pub struct Kernel {
    /// Its process.
    pub process: Arc<Process>,
    /// The version of its language.
    pub version: Option<String>,
    /// Receives what the kernel replies to requests.
    pub replies: Messages,
    shell: Sender,
    control: Sender,
    key: Key,
    session: String,
    interrupts_by_message: bool,
    /// The run that gets what the kernel publishes.
    run: Arc<Mutex<Option<mpsc::Sender<Incoming>>>>,
    publishing: AbortHandle,
    /// Ends with it.
    _folder: Folder,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

/// Whether a message says that the kernel has published everything of its request.
pub fn is_idle(message: &Message) -> bool {
    message.kind == "status" && message.content.get("execution_state").and_then(Value::as_str) == Some("idle")
}

/// The output that a message of this content is of.
pub fn output(message: &Message) -> Option<(OutputStream, &str)> {
    if message.kind != "stream" {
        return None;
    }
    let stream = match message.content.get("name").and_then(Value::as_str) {
        Some("stderr") => OutputStream::Stderr,
        _ => OutputStream::Stdout,
    };
    Some((stream, message.content.get("text").and_then(Value::as_str)?))
}

/// The parts of a kernel that has answered.
pub struct Connected {
    /// Its process.
    pub process: Arc<Process>,
    /// The version of its language.
    pub version: Option<String>,
    /// Receives what it replies.
    pub replies: Messages,
    /// Sends requests.
    pub shell: Sender,
    /// Sends interrupts.
    pub control: Sender,
    /// Receives what it publishes.
    pub published: Messages,
    /// Receives the answers to interrupts.
    pub answers: Messages,
    /// Signs requests.
    pub key: Key,
    /// The id of `sandboxd` as its client.
    pub session: String,
    /// Whether a message interrupts it, and not a signal.
    pub interrupts_by_message: bool,
    /// Its folder.
    pub folder: Folder,
}

/// Hands on what the kernel publishes, until its connection breaks.
async fn publish(
    mut published: Messages,
    mut answers: Messages,
    run: Arc<Mutex<Option<mpsc::Sender<Incoming>>>>,
    process: Arc<Process>,
) {
    loop {
        let incoming = tokio::select! {
            incoming = published.next() => incoming,
            // Answers to interrupts are read, so that the kernel can send them, and say nothing.
            answer = answers.next() => match answer {
                Ok(_) => continue,
                Err(_) => return,
            },
        };
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err(e) => {
                if process.log.end().is_none() && e.kind() == io::ErrorKind::InvalidData {
                    tracing::warn!(error = %e, "a kernel is ended");
                    process.end(Duration::ZERO).await;
                }
                return;
            }
        };
        let current = run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let left = match current {
            None => Some(incoming),
            // Fails when the run has ended meanwhile.
            Some(current) => current.send(incoming).await.err().map(|failed| failed.0),
        };
        match left {
            Some(Incoming::Text(stream, mut text)) => process.log.append(stream, &mut text),
            Some(Incoming::Message(message)) => {
                if let Some((stream, text)) = output(&message) {
                    process.log.append(stream, &mut text.as_bytes().to_vec());
                }
            }
            Some(Incoming::TooLarge(_)) | None => {}
        }
    }
}

/// The run that gets what its kernel publishes, until this is dropped.
pub struct Published {
    /// The messages that the kernel publishes.
    pub messages: mpsc::Receiver<Incoming>,
    run: Arc<Mutex<Option<mpsc::Sender<Incoming>>>>,
}

impl Drop for Published {
    fn drop(&mut self) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Kernel {
    /// The kernel of these parts.
    pub fn new(connected: Connected) -> Self {
        let run = Arc::default();
        let publishing = tokio::spawn(publish(
            connected.published,
            connected.answers,
            Arc::clone(&run),
            Arc::clone(&connected.process),
        ));
        Self {
            process: connected.process,
            version: connected.version,
            replies: connected.replies,
            shell: connected.shell,
            control: connected.control,
            key: connected.key,
            session: connected.session,
            interrupts_by_message: connected.interrupts_by_message,
            run,
            publishing: publishing.abort_handle(),
            _folder: connected.folder,
        }
    }

    /// Gives the caller what the kernel publishes from now on.
    pub fn published(&self) -> Published {
        let (sender, messages) = mpsc::channel(MESSAGES_AHEAD);
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let run = Arc::clone(&self.run);
        Published { messages, run }
    }

    /// Sends code to run. Returns the id of the request.
    pub async fn execute(&mut self, code: &str, metadata: &Value) -> io::Result<String> {
        let content = json!({
            "code": code,
            "silent": false,
            "store_history": true,
            "user_expressions": {},
            "allow_stdin": false,
            "stop_on_error": false,
        });
        let (id, frames) = self
            .key
            .request(&self.session, "execute_request", metadata, &content)?;
        self.shell.send(&frames).await?;
        Ok(id)
    }

    /// Sends a request whose answer comes behind everything that the kernel has published. Returns its id.
    pub async fn barrier(&mut self) -> io::Result<String> {
        let (id, frames) = self
            .key
            .request(&self.session, "kernel_info_request", &json!({}), &json!({}))?;
        self.shell.send(&frames).await?;
        Ok(id)
    }

    /// Interrupts the code that runs.
    pub async fn interrupt(&mut self) {
        if !self.interrupts_by_message {
            self.process.signal(Signal::INT).await;
            return;
        }
        let request = self
            .key
            .request(&self.session, "interrupt_request", &json!({}), &json!({}));
        let sent = match request {
            Ok((_, frames)) => self.control.send(&frames).await,
            Err(e) => Err(e),
        };
        // A kernel that has ended cannot be interrupted.
        let _ = sent;
    }
}

/// The end of a process as a sentence's part, such as "it was ended by SIGSEGV".
pub fn how_it_ended(result: &Result<Exit, ErrorBody>) -> String {
    match result {
        Err(error) => error.error.clone(),
        Ok(exit) => match &exit.signal {
            Some(signal) => format!("its kernel was ended by {signal}"),
            None => format!("its kernel exited with code {}", exit.exit_code),
        },
    }
}
