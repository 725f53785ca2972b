//! The end of a terminal: of its program, and of what its clients get last.

use std::time::Duration;

use bytes::Bytes;
use sandbox_protocol::pty::ServerMessage;
use tokio::time::Instant;

use super::{Running, Task, closed};
use crate::process::status;
use crate::pty::client::Event;
use crate::session::files::ShellFiles;
use crate::threads::PROCESSES;

/// The time that the processes of a terminal have between SIGHUP and SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// The last output of a terminal.
pub struct FinalOutput {
    /// Output before the message.
    pub text: Option<Bytes>,
    /// The last message.
    pub message: ServerMessage,
}

impl Task {
    /// Reaps a program that has ended; returns the final output.
    pub(super) async fn reap(&mut self, running: Running) -> Result<FinalOutput, String> {
        let Running {
            device,
            started,
            since,
            activity,
        } = running;
        drop(device);
        let status = started.child.reap();
        drop(activity);
        let saved = self.save(started.files).await;
        let status = status.map_err(|e| format!("the program's exit status is lost: {e}"))?;
        let exit = status::ended(status);
        log("terminal ended", since, Some(exit.exit_code));
        Ok(FinalOutput {
            text: saved.err().map(|message| format!("{message}\r\n").into()),
            message: ServerMessage::Exit {
                code: exit.exit_code,
                signal: exit.signal,
            },
        })
    }

    /// Hangs up on the program, and kills what is left of its tree after [`KILL_GRACE`].
    pub(super) async fn hang_up(&mut self, running: Running) {
        let Running {
            device,
            started,
            since,
            activity,
        } = running;
        device.hang_up(started.child.pid());
        drop(device);
        let tree = started.tree;
        // It fails only when it panics.
        let _ = PROCESSES.run(move || tree.kill_after(KILL_GRACE)).await;
        started.child.ended().await;
        let exit = started.child.reap().map(status::ended);
        drop(activity);
        if let Err(message) = self.save(started.files).await {
            tracing::warn!("{message}");
        }
        log("terminal hung up", since, exit.ok().map(|exit| exit.exit_code));
    }

    /// Saves the changes of a session's shell. Fails, with a message for a person, when they cannot
    /// be saved.
    async fn save(&mut self, files: Option<ShellFiles>) -> Result<(), String> {
        let session = self
            .launcher
            .as_ref()
            .ok()
            .and_then(|launcher| launcher.session());
        match (session, files) {
            (Some(session), Some(files)) => session.save(files).await,
            _ => Ok(()),
        }
    }

    /// Sends the final output, to the attached client or to one that comes back in time.
    pub(super) async fn send_last(&mut self, last: FinalOutput) {
        let FinalOutput { mut text, message } = last;
        loop {
            let is_attached = self.screen.is_attached();
            tokio::select! {
                true = self.screen.finish(&mut text, &message) => return,
                // No client can come back any more.
                () = closed(&mut self.closing), if !is_attached => return,
                event = self.clients.next(false) => match event {
                    Event::Attached(client, _) if self.launcher.is_ok() => self.screen.attach(client),
                    // The terminal was never ready.
                    Event::Attached(client, _) => self.screen.attach_unready(client),
                    Event::Left => self.screen.detach(),
                    Event::HangUp => return,
                    Event::Input(_) | Event::Resized(_) => {}
                },
            }
        }
    }
}

fn log(what: &str, since: Instant, exit_code: Option<i32>) {
    let duration_ms = since.elapsed().as_millis();
    tracing::info!(exit_code, duration_ms, "{what}");
}
